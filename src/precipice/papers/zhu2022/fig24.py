"""zhu2022/fig24: the trajectory of figure 7, a five-layer ELU network, in the plane of its end."""

from precipice.papers.zhu2022.fifty_images import claims
from precipice.papers.zhu2022.fifty_images.figures import figure

FIGURE = figure(
    24,
    "Five ELU layers, fifty images: trajectory in a plane",
    "elu",
    ("trajectory", "tip"),
    {
        claims.period_two("figure 24"): "tip",
        claims.moves_to_the_minimum("figure 24"): "trajectory",
        claims.local_parabola("figure 24"): "tip",
        claims.papers_coefficient("figure 24"): "tip",
    },
)
