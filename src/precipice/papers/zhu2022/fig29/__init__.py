"""zhu2022/fig29: the sharpness that minibatch SGD converges to grows with the batch size, up to 2/lr."""

from typing import TYPE_CHECKING

from precipice.papers.figure import Context, Figure, Scale
from precipice.papers.zhu2022.fifty_images.settings import DATA
from precipice.papers.zhu2022.fig29.claims import CLAIMS
from precipice.papers.zhu2022.fig29.picture import PANELS, plot
from precipice.papers.zhu2022.fig29.settings import Settings, control, paper_settings, quick_settings, validate
from precipice.papers.zhu2022.fig29.study import study as study

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Run the study."""
    import numpy as np

    from precipice.papers.studied import studied
    from precipice.papers.zhu2022.fifty_images.problem import fifty_images
    from precipice.results import to_dataset

    fifty_images(settings, context.data_dir)  # absent data are refused before any work
    found = studied(study(settings, context.data_dir), context).transpose("batch_size", "lr", "draw")
    names = ("final_sharpness", "final_loss", "steps_taken", "status")
    saved = {name: found[name].values for name in names}
    saved["steps_taken"] = saved["steps_taken"].astype(int)
    coords = {name: found[name].values for name in ("batch_size", "lr", "draw")}
    saved["edge"] = np.broadcast_to(2 / coords["lr"][:, None], saved["status"].shape)
    return to_dataset(saved, coords=coords)


FIGURE = Figure(
    id="zhu2022/fig29",
    title="Fifty images: converging sharpness of minibatch SGD against the batch size",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "a minute", DATA),
        "paper": Scale(paper_settings, "hours", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="large-batches-end-near-the-edge",
    claim_panels={claim.name: "steps" if claim.name == "all-losses-vanish" else "sharpness" for claim in CLAIMS},
)
