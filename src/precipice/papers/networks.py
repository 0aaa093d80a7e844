"""Fully connected networks trained by gradient descent, as the papers' figures describe them in settings."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from precipice import dynamics, measures, problems
from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice._types import Tracker
from precipice.papers.figure import Context
from precipice.results import Status, StopReason, pad_runs

ACTIVATIONS = {
    f.__name__: f
    for f in (
        problems.tanh,
        problems.relu,
        problems.elu,
        problems.gelu,
        problems.erf,
        problems.softplus,
        problems.identity,
    )
}
INITIALISATIONS = {i.name: i for i in (problems.LECUN, problems.XAVIER, problems.HE, problems.TORCH)} | {
    "ntk": problems.ntk()
}
PREPROCESSING = {
    f.__name__: f
    for f in (
        problems.scale_only,
        problems.scale_symmetric,
        problems.centre,
        problems.centre_channels,
        problems.standardise_channels,
        problems.standardise_pixels,
    )
}
LAYOUTS = {f.__name__: f for f in (problems.flat, problems.span)}


class Images(NamedTuple):
    """A data set's pixels in an image and training images."""

    pixels: int
    examples: int


DATASETS = {"cifar10": Images(3 * 32 * 32, 50_000), "mnist": Images(28 * 28, 60_000), "digits": Images(8 * 8, 1797)}
PRECISIONS = {"float32": jnp.float32, "float64": jnp.float64}
VECTORS = 10
"""Vectors of the parameters' size that any training with measurements holds: parameters, gradient, a small basis."""


class NetworkSettings(Protocol):
    """The settings that describe a network, its data and its descent."""

    @property
    def dataset(self) -> str:
        """One of `DATASETS`."""
        ...

    @property
    def num_examples(self) -> int:
        """The first so many training examples."""
        ...

    @property
    def preprocess(self) -> str:
        """One of `PREPROCESSING`."""
        ...

    @property
    def width(self) -> int:
        """Units in each hidden layer."""
        ...

    @property
    def depth(self) -> int:
        """Hidden layers."""
        ...

    @property
    def activation(self) -> str:
        """One of `ACTIVATIONS`."""
        ...

    @property
    def initialisation(self) -> str:
        """One of `INITIALISATIONS`."""
        ...

    @property
    def lr(self) -> float:
        """Learning rate."""
        ...

    @property
    def precision(self) -> str:
        """float32 or float64."""
        ...


def check_network(settings: NetworkSettings, num_eigenvalues: int = 2) -> None:
    """Refuse settings that describe no network, data or descent, or one that cannot fit into the machine's memory.

    Args:
        settings: the settings.
        num_eigenvalues: how many of a spectrum are measured; each keeps a vector of the parameters' size.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    one_of("dataset", settings.dataset, DATASETS)
    one_of("preprocess", settings.preprocess, PREPROCESSING)
    one_of("activation", settings.activation, ACTIVATIONS)
    one_of("initialisation", settings.initialisation, INITIALISATIONS)
    one_of("precision", settings.precision, PRECISIONS)
    positive("lr", settings.lr)
    for name in ("num_examples", "width", "depth"):
        at_least(name, getattr(settings, name), 1)
    at_least("num_eigenvalues", num_eigenvalues, 1)
    at_most("num_examples", settings.num_examples, DATASETS[settings.dataset].examples, f"images of {settings.dataset}")
    _check_memory(settings, num_eigenvalues)


def _check_memory(settings: NetworkSettings, num_eigenvalues: int) -> None:
    """Refuse what certainly does not fit: a floor of what a training and its measurements hold, not an estimate."""
    width, depth = settings.width, settings.depth
    pixels = DATASETS[settings.dataset].pixels
    parameters = width * pixels + (depth - 1) * width**2
    vectors = VECTORS + num_eigenvalues
    activations = settings.num_examples * (pixels + width * depth)
    needed = (parameters * vectors + activations) * jnp.dtype(PRECISIONS[settings.precision]).itemsize
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(
            f"width, depth, num_examples and num_eigenvalues must fit into this machine's {there / 2**30:.1f} GiB of "
            f"memory; width {width}, depth {depth}, {settings.num_examples} examples and {num_eigenvalues} eigenvalues "
            f"need more than {needed / 2**30:.3g} GiB."
        )


def class_pair(classes: str) -> tuple[int, ...] | None:
    """The two class numbers of a setting such as "0,1", or None for "all".

    Raises:
        InputError: neither form.
    """
    if classes == "all":
        return None
    parts = [part.strip() for part in classes.split(",")]
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise InputError(f"classes must be 'all' or two class numbers such as '0,1'; got {classes!r}.")
    return int(parts[0]), int(parts[1])


def problem_for(
    settings: NetworkSettings,
    data_dir: Path | None,
    classes: tuple[int, ...] | None = None,
    layout: Callable[[np.ndarray], np.ndarray] = problems.flat,
) -> problems.Supervised:
    """The problem: half squared error, averaged over the first `num_examples` examples.

    Args:
        settings: network, data and precision.
        data_dir: the data directory, or None for the default.
        classes: keep two classes only, with one output and targets +1 and -1; None keeps all, one-hot.
        layout: the images as inputs, one of `LAYOUTS`.

    Raises:
        InputError: the data are not found, damaged, or fewer than asked for.
    """
    targets = problems.one_hot if classes is None else problems.binary_pair
    data = images_for(settings, settings.num_examples, data_dir, classes, targets, layout)
    widths = (data.x.shape[1], *[settings.width] * settings.depth, data.y.shape[1])
    network = problems.FullyConnected(
        widths,
        activation=ACTIVATIONS[settings.activation],
        initialisation=INITIALISATIONS[settings.initialisation],
    )
    return problems.Supervised(network, data, problems.mean_half_squared_error)


def images_for(
    settings: NetworkSettings,
    num: int,
    data_dir: Path | None,
    classes: tuple[int, ...] | None,
    targets: Callable[[np.ndarray, tuple[int, ...]], np.ndarray],
    layout: Callable[[np.ndarray], np.ndarray] = problems.flat,
) -> problems.Dataset:
    """The first `num` images of some classes of the settings' data set, preprocessed, in the settings' precision.

    Args:
        settings: `dataset`, `preprocess` and `precision` are read.
        num: of images.
        data_dir: the data directory, or None for the default.
        classes: kept; None for all.
        targets: a function of `problems.data.targets`.
        layout: the images as inputs, one of `LAYOUTS`.

    Raises:
        InputError: the data are not found, damaged, or fewer than asked for.
    """
    options = {
        "classes": classes,
        "targets": targets,
        "preprocess": PREPROCESSING[settings.preprocess],
        "layout": layout,
        "dtype": PRECISIONS[settings.precision],
    }
    if settings.dataset == "digits":
        return problems.digits(num, **options)
    load = problems.cifar10 if settings.dataset == "cifar10" else problems.mnist
    return load(num, data_dir=data_dir, **options)


def seed_keys(seed: int, num: int) -> list[jax.Array]:
    """`num` independent keys of a seed."""
    return list(jax.random.split(jax.random.key(seed), num))


def both_spectra(problem: problems.Supervised, key: jax.Array, num: int, rtol: float) -> tuple[Tracker, ...]:
    """Trackers of the top of the Hessian's and of the kernel's spectrum."""
    hessian_key, ntk_key = jax.random.split(key)
    return (
        measures.track_hessian(problem, key=hessian_key, num=num, rtol=rtol),
        measures.track_ntk(problem, key=ntk_key, num=num, rtol=rtol),
    )


def checkpoint_in(context: Context, name: str) -> Path:
    """The file of one training's checkpoint."""
    return context.folder / f"{name}.npz"


def cells(
    trainings: Sequence[Sequence[dynamics.Training | None]], names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Trainings on a grid [lr, seed] as arrays and coordinates for `results.to_dataset`; None is a missing cell.

    Args:
        trainings: a row for each learning rate; all share the same schedule of probes.
        names: which of the saved results to keep.
    """
    shape = (len(trainings), len(trainings[0]))
    flat = [training for row in trainings for training in row]
    example = next(training for training in flat if training is not None)
    losses = pad_runs([{"loss": example.loss[:0] if t is None else t.loss} for t in flat], "step")
    probes = pad_runs(
        [{n: (example.saved[n][:0] if t is None else t.saved[n]) for n in names} for t in flat], "probe_step"
    )
    ends = {
        "status": [Status.MISSING if t is None else t.status for t in flat],
        "stop_reason": [StopReason.NONE if t is None else t.stop_reason for t in flat],
        "diverged_at": [-1 if t is None else t.diverged_at for t in flat],
        "last_finite_step": [-1 if t is None else int(t.state.step) for t in flat],
    }
    saved = {name: a.reshape(*shape, *a.shape[1:]) for name, a in (losses | probes).items()}
    saved |= {name: np.array([int(v) for v in values]).reshape(shape) for name, values in ends.items()}
    longest = max((t for t in flat if t is not None), key=lambda t: len(t.probe_step))
    return saved, {"step": np.arange(saved["loss"].shape[-1]), "probe_step": longest.probe_step}
