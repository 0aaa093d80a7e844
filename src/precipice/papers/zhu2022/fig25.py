"""zhu2022/fig25: statistics of the training of a five-layer tanh network."""

from precipice.papers.zhu2022.fifty_images import claims
from precipice.papers.zhu2022.fifty_images.figures import figure

FIGURE = figure(
    25,
    "Five tanh layers, fifty images: statistics of the training",
    "tanh",
    ("loss", "sharpness", "window", "outside-plane"),
    {
        claims.ends_below("figure 25"): "sharpness",
        claims.memorises("figure 25"): "loss",
        claims.oscillates("figure 25"): "window",
        claims.not_monotone("figure 25"): "window",
        claims.stays_in_the_plane("figure 25"): "outside-plane",
    },
)
