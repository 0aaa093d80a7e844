"""zhu2022/fig7: a five-layer ELU network on fifty images ends just below 2/lr, along a parabola."""

from precipice.papers.zhu2022.fifty_images import claims
from precipice.papers.zhu2022.fifty_images.figures import figure

FIGURE = figure(
    7,
    "Five ELU layers, fifty images: training and its trajectory",
    "elu",
    ("loss", "sharpness", "trajectory", "tip"),
    {
        claims.ends_below("figure 7"): "sharpness",
        claims.memorises("figure 7"): "loss",
        claims.local_parabola("figure 7"): "tip",
        claims.papers_coefficient("figure 7"): "tip",
    },
)
