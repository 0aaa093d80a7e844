"""zhu2022/fig26: the trajectory of the tanh network of figure 25 in the plane of its end."""

from precipice.papers.zhu2022.fifty_images import claims
from precipice.papers.zhu2022.fifty_images.figures import figure

FIGURE = figure(
    26,
    "Five tanh layers, fifty images: trajectory in a plane",
    "tanh",
    ("trajectory", "tip"),
    {
        claims.period_two("figure 26"): "tip",
        claims.moves_to_the_minimum("figure 26"): "trajectory",
        claims.local_parabola("figure 26"): "tip",
        claims.papers_coefficient("figure 26"): "tip",
    },
)
