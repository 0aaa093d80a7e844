"""Train on fifty images, then follow the same trajectory once more in the plane of its movement and oscillation."""

from typing import TYPE_CHECKING, Any, NamedTuple

from precipice.papers.figure import Context
from precipice.papers.zhu2022.fifty_images.settings import Settings

if TYPE_CHECKING:
    import xarray

    from precipice._types import Params, PRNGKey, Tracker
    from precipice.dynamics import Training
    from precipice.measures import MovementPlane
    from precipice.problems import Supervised

VECTOR_RTOL = 1e-10
"""Of the eigenvalue at the end: its vector is then right to about 1e-5."""

OF_STEPS = ("loss", "movement", "oscillation", "outside_plane")
OF_PROBES = ("hessian_eigenvalue", "hessian_eigenvalue_bound")


class Trainer(NamedTuple):
    """What the parts of one seed's training share."""

    problem: "Supervised"
    settings: Settings
    context: Context
    key: "PRNGKey"
    seed: int

    def train(self, name: str, start: "Params", num_steps: int, every: int, probes=(), trackers=()) -> "Training":
        """Gradient descent from `start`; kept in a checkpoint of this name."""
        from precipice import dynamics
        from precipice.papers.networks import checkpoint_in

        return dynamics.train(
            dynamics.Descent(self.problem, dynamics.gradient_descent(self.settings.lr), start=start),
            key=self.key,
            num_steps=num_steps,
            every=every,
            probes=probes,
            trackers=trackers,
            checkpoint=checkpoint_in(self.context, f"seed-{self.seed}-{name}"),
            checkpoint_seconds=self.context.checkpoint_seconds,
            fingerprint=self.context.fingerprint,
            title=f"seed {self.seed}: {name}",
            progress=self.context.progress,
        )

    def sharpness(self) -> "Tracker":
        """The two largest eigenvalues of the Hessian."""
        from precipice import measures

        return measures.track_hessian(self.problem, key=self.key, num=2, rtol=self.settings.rtol)

    def step(self, params: "Params") -> "Params":
        """The next point."""
        import jax

        from precipice import dynamics

        process = dynamics.Descent(self.problem, dynamics.gradient_descent(self.settings.lr), start=params)
        return dynamics.simulate(process, key=jax.random.key(0), num_steps=1, every=1).state.params


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train from each seed's start: loss at every step, sharpness on a schedule and in a window, and the plane."""
    import numpy as np

    from precipice.results import to_dataset

    found = [_followed(settings, context, seed) for seed in range(settings.seeds)]
    saved: dict[str, Any] = {name: np.stack([one[name] for one in found]) for name in found[0]}
    saved["edge"] = np.full(settings.seeds, 2 / settings.lr)
    coords = {
        "seed": range(settings.seeds),
        "step": range(settings.num_steps),
        "probe_step": range(0, settings.num_steps + 1, settings.every),
        "window_step": settings.projection_step + np.arange(settings.window + 1),
    }
    return to_dataset(saved, coords=coords)


def _followed(settings: Settings, context: Context, seed: int) -> dict[str, Any]:
    """All results of one seed."""
    from precipice.papers.networks import seed_keys
    from precipice.papers.zhu2022.fifty_images.problem import started

    start_key, key = seed_keys(seed, 2)
    problem, start = started(settings, context.data_dir, start_key)
    trainer = Trainer(problem, settings, context, key, seed)
    early = trainer.train(
        "to the projection step", start, settings.projection_step, settings.every, trackers=(trainer.sharpness(),)
    )
    if early.diverged_at >= 0:
        return _diverged(settings, early)
    middle = early.state.params
    rest = settings.num_steps - settings.projection_step
    late = trainer.train("to the end", middle, rest, settings.every, trackers=(trainer.sharpness(),))
    if late.diverged_at >= 0:
        return _diverged(settings, early, late)
    window = trainer.train("window", middle, settings.window, 1, trackers=(trainer.sharpness(),))
    plane, sharpness = _plane(trainer, middle, late.state.params)
    path = trainer.train("in the plane", start, settings.num_steps, 1, probes=(plane,))
    return (
        _measured(settings, early, late)
        | {name: path.saved[name][: settings.num_steps] for name in OF_STEPS[1:]}
        | {"window_sharpness": window.saved["hessian_eigenvalue"][:, 0]}
        | _end(problem, late, sharpness)
    )


def _plane(trainer: Trainer, middle: "Params", last: "Params") -> "tuple[MovementPlane, float]":
    """The plane of the end, and the sharpness there."""
    import jax

    from precipice import curvature, measures

    found = curvature.eigs(
        curvature.Hessian(trainer.problem.loss, last), key=trainer.key, rtol=VECTOR_RTOL, max_products=1000
    )
    vector = jax.tree.map(lambda leaf: leaf[0], found.vectors)
    plane = measures.movement_plane((middle, trainer.step(middle)), (last, trainer.step(last)), vector)
    return plane, float(found.values[0])


def _measured(settings: Settings, *parts: "Training") -> dict[str, Any]:
    """Loss and sharpness of consecutive trainings; NaN beyond their end."""
    import numpy as np

    num_probes = settings.num_steps // settings.every + 1
    values = {"loss": np.full(settings.num_steps, np.nan)} | {
        name: np.full((num_probes, 2), np.nan) for name in OF_PROBES
    }
    first = 0
    for part in parts:
        values["loss"][first : first + len(part.loss)] = part.loss
        for name in OF_PROBES:
            begin = first // settings.every
            values[name][begin : begin + len(part.probe_step)] = part.saved[name]
        first += settings.projection_step
    return values


def _end(problem: "Supervised", last: "Training", sharpness: float) -> dict[str, Any]:
    import numpy as np

    return {
        "final_sharpness": np.array(sharpness),
        "final_loss": np.array(problem.loss(last.state.params)),
        "status": np.array(int(last.status)),
        "stop_reason": np.array(int(last.stop_reason)),
        "diverged_at": np.array(last.diverged_at),
    }


def _diverged(settings: Settings, *parts: "Training") -> dict[str, Any]:
    """What there is of a training that diverged: no end, and so no plane."""
    import numpy as np

    steps = (len(parts) - 1) * settings.projection_step + parts[-1].diverged_at
    blank = {name: np.full(settings.num_steps, np.nan) for name in OF_STEPS[1:]}
    blank |= {"window_sharpness": np.full(settings.window + 1, np.nan)}
    blank |= {"final_sharpness": np.array(np.nan), "final_loss": np.array(np.nan)}
    ends = {"status": np.array(int(parts[-1].status)), "stop_reason": np.array(int(parts[-1].stop_reason))}
    return _measured(settings, *parts) | blank | ends | {"diverged_at": np.array(steps)}
