"""A training to the onset of the edge, and a window of steps from there, each measured: figures 5, 6 and 13."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from precipice.papers.figure import Context

if TYPE_CHECKING:
    from precipice._types import Tracker
    from precipice.dynamics.train import Training


class WindowSettings(Protocol):
    """The settings of a training to the onset, and of the window after it."""

    @property
    def lr(self) -> float:
        """Learning rate of the mean loss."""
        ...

    @property
    def max_steps_before(self) -> int:
        """The most steps until the window begins."""
        ...

    @property
    def every_before(self) -> int:
        """Steps between measurements until then."""
        ...

    @property
    def onset(self) -> float:
        """The window begins when the top kernel eigenvalue reaches this fraction of 2/lr."""
        ...

    @property
    def window(self) -> int:
        """Steps in the window."""
        ...


class Window(NamedTuple):
    """Steps from the onset of the edge.

    Args:
        start: the gradient step at which it begins.
        params: the parameters there.
        training: the training through it, measured at each step.
    """

    start: int
    params: Any
    training: "Training"


def window(
    problem: Any, settings: WindowSettings, context: Context, seed: int, track: "Callable[[Any, Any], Tracker]"
) -> Window:
    """Train `problem` to the onset, and through the window from there.

    Args:
        problem: a mean loss.
        settings: see `WindowSettings`.
        context: of the figure.
        seed: of the initialisation and of random vectors.
        track: ``track(problem, key)``, the tracker of the window.
    """
    from precipice import dynamics
    from precipice.papers.networks import checkpoint_in, seed_keys

    keys = seed_keys(seed, 3)
    before = to_onset(problem, settings, context, seed, keys[:2])
    through = dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(settings.lr), start=before.state.params),
        key=keys[0],
        num_steps=settings.window,
        every=1,
        trackers=(track(problem, keys[2]),),
        checkpoint=checkpoint_in(context, f"window-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, window",
        progress=context.progress,
    )
    return Window(int(before.state.step), before.state.params, through)


def to_onset(problem: Any, settings: WindowSettings, context: Context, seed: int, keys: Any) -> "Training":
    """Train until the top kernel eigenvalue is at the onset, with keys of the initialisation and of the measurement."""
    from precipice import dynamics, measures
    from precipice.papers.networks import checkpoint_in

    onset = settings.onset * 2 / settings.lr
    return dynamics.train(
        dynamics.Descent(problem, dynamics.gradient_descent(settings.lr)),
        key=keys[0],
        num_steps=settings.max_steps_before,
        every=settings.every_before,
        trackers=(measures.track_ntk(problem, key=keys[1], num=1, rtol=1e-3),),
        stops=(dynamics.at_least("ntk_eigenvalue", onset),),
        checkpoint=checkpoint_in(context, f"before-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"seed {seed}, to the onset at {onset:.4g}",
        progress=context.progress,
    )


def ends(windows: Sequence[Window], lr: float) -> dict[str, np.ndarray]:
    """Where each window began, what became of it, and the edge [seed]."""
    return {
        "window_start": np.array([w.start for w in windows]),
        "status": np.array([int(w.training.status) for w in windows]),
        "diverged_at": np.array([w.training.diverged_at for w in windows]),
        "edge": np.full(len(windows), 2 / lr),
    }
