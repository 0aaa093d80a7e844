"""zhu2022/fig23: statistics of the training of figure 7, a five-layer ELU network."""

from precipice.papers.zhu2022.fifty_images import claims
from precipice.papers.zhu2022.fifty_images.figures import figure

FIGURE = figure(
    23,
    "Five ELU layers, fifty images: statistics of the training",
    "elu",
    ("loss", "sharpness", "window", "outside-plane"),
    {
        claims.ends_below("figure 23"): "sharpness",
        claims.memorises("figure 23"): "loss",
        claims.oscillates("figure 23"): "window",
        claims.not_monotone("figure 23"): "window",
        claims.stays_in_the_plane("figure 23"): "outside-plane",
    },
)
