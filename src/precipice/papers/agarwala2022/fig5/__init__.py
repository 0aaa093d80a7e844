"""agarwala2022/fig5: near the edge the residual's top mode oscillates and the kernel's top eigenvalue crosses 2/lr."""

from typing import TYPE_CHECKING

from precipice.papers.agarwala2022.fig5.claims import CLAIMS
from precipice.papers.agarwala2022.fig5.picture import PANELS, plot
from precipice.papers.agarwala2022.fig5.settings import (
    Settings,
    control,
    paper_settings,
    quick_settings,
    validate,
)
from precipice.papers.figure import Context, Figure, Scale

if TYPE_CHECKING:
    import xarray


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train to the onset of the edge, then measure the kernel at every step of the window."""
    from precipice import measures
    from precipice.papers.agarwala2022.near_edge import ends, window
    from precipice.papers.networks import class_pair, problem_for
    from precipice.results import pad_runs, to_dataset

    problem = problem_for(settings, context.data_dir, class_pair(settings.classes))

    def track(problem, key):
        return measures.track_ntk(problem, key=key, num=2, rtol=settings.rtol)

    windows = [window(problem, settings, context, seed, track) for seed in range(settings.seeds)]
    runs = [{"loss": w.training.loss, **{name: w.training.saved[name] for name in MEASURED}} for w in windows]
    saved = pad_runs(runs, "step", "probe_step")
    saved |= ends(windows, settings.lr)
    lengths = {"step": saved["loss"].shape[1], "probe_step": saved["residual_projection"].shape[1]}
    coords = {name: range(length) for name, length in lengths.items()}
    return to_dataset(saved, coords={"seed": range(settings.seeds), **coords})


MEASURED = ("residual_projection", "ntk_eigenvalue", "ntk_eigenvalue_bound", "ntk_products", "ntk_converged")


FIGURE = Figure(
    id="agarwala2022/fig5",
    title="Near the onset of the edge: residual along the top kernel mode, and kernel eigenvalues",
    panels=PANELS,
    scales={
        "quick": Scale(quick_settings, "about a minute", "cifar10 (else digits)"),
        "paper": Scale(paper_settings, "about 40 minutes", "cifar10"),
    },
    validate=validate,
    run=run,
    plot=plot,
    claims=CLAIMS,
    control=control,
    main_claim="z1-oscillates",
    claim_panels={
        "z1-grows": "z1",
        "z1-oscillates": "z1",
        "every-other-step-is-smooth": "two-step",
        "lambda1-crosses-more-than-once": "eigenvalues",
        "lambda2-stays-below": "eigenvalues",
    },
)
