"""ResNet-18 on images, as figures 3 (bottom), 12 (right) and 13 of ahn2022 train it: settings, runs and drawing."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError, at_least, at_most, one_of, positive
from precipice.papers.figure import Context
from precipice.papers.settings import numbers

if TYPE_CHECKING:
    import xarray

WHOLE = "all"
"""The batch size that stands for all the examples, and the classes that stand for all ten."""


@dataclass(frozen=True)
class Settings:
    """What fixes the result; recorded with it.

    Args:
        dataset: cifar10 or digits.
        classes: "all" (cross-entropy), or two class numbers such as "0,1": one logit, logistic loss.
        num_examples: the first so many training images of these classes.
        preprocess: see `problems.data`; statistics over the images used.
        width: multiplies the 64 to 512 channels of ResNet-18.
        stem_stride: of the first convolution: 1, or 2 to halve height and width from there on.
        batch_sizes: "all" for full-batch descent, or numbers such as "100,1000".
        lrs: learning rates at the start of the cosine, ascending; without momentum or weight decay.
        epochs: of each training.
        every: epochs between measurements.
        seeds: starts, and orders of the examples.
        precision: float32 or float64.
    """

    dataset: str
    classes: str
    num_examples: int
    preprocess: str
    width: float
    stem_stride: int
    batch_sizes: str
    lrs: str
    epochs: int
    every: int
    seeds: int
    precision: str = "float32"


def with_digits(settings: Settings, data_dir: Path | None, num_examples: int) -> Settings:
    """`settings`, or so many of scikit-learn's digits at their own resolution where no CIFAR-10 is found."""
    from precipice.papers.request import is_found

    if is_found("cifar10", data_dir):
        return settings
    return dataclasses.replace(settings, dataset="digits", num_examples=num_examples, stem_stride=1)


def slower(settings: Settings) -> Settings:
    """The control: a hundredth of the learning rates."""
    lrs = ",".join(f"{lr / 100:.6g}" for lr in numbers(settings.lrs, "lrs", ascending=True))
    return dataclasses.replace(settings, lrs=lrs)


def batch_sizes(settings: Settings) -> list[int]:
    """The batch sizes.

    Raises:
        InputError: not whole, not ascending, or larger than the data.
    """
    if settings.batch_sizes == WHOLE:
        return [settings.num_examples]
    sizes = numbers(settings.batch_sizes, "batch_sizes", ascending=True)
    if any(size != int(size) for size in sizes):
        raise InputError(f"batch_sizes must be whole numbers or 'all'; got {settings.batch_sizes!r}.")
    at_most("each of batch_sizes", sizes[-1], settings.num_examples, "num_examples")
    return [int(size) for size in sizes]


def validate(settings: Settings) -> None:
    """Refuse settings that cannot be run.

    Raises:
        InputError: naming the setting, its rule and the value.
    """
    from precipice.papers.networks import DATASETS, PRECISIONS, PREPROCESSING, class_pair

    one_of("dataset", settings.dataset, ("cifar10", "digits"))
    one_of("preprocess", settings.preprocess, PREPROCESSING)
    one_of("precision", settings.precision, PRECISIONS)
    class_pair(settings.classes)
    positive("width", settings.width)
    at_least("stem_stride", settings.stem_stride, 1)
    at_most("stem_stride", settings.stem_stride, 2)
    at_least("num_examples", settings.num_examples, 2)
    at_most("num_examples", settings.num_examples, DATASETS[settings.dataset].examples, f"images of {settings.dataset}")
    batch_sizes(settings)
    if len(numbers(settings.lrs, "lrs", ascending=True)) < 2:
        raise InputError(f"lrs must be two or more, to be compared; got {settings.lrs!r}.")
    at_least("seeds", settings.seeds, 1)
    at_least("every", settings.every, 1)
    at_least("epochs", settings.epochs, 4 * settings.every)
    if settings.epochs % settings.every:
        raise InputError(f"epochs must be a multiple of every ({settings.every}); got {settings.epochs}.")


def problem_of(settings: Settings, data_dir: Path | None) -> Any:
    """ResNet-18 with BatchNorm on the images: one logit for two classes, ten logits for all."""
    from precipice import problems
    from precipice.papers.networks import PRECISIONS, PREPROCESSING, class_pair

    classes = class_pair(settings.classes)
    options: dict[str, Any] = {
        "preprocess": PREPROCESSING[settings.preprocess],
        "dtype": PRECISIONS[settings.precision],
    }
    options |= {"layout": problems.channels_first, "classes": classes}
    if classes is not None:
        options["targets"] = problems.binary_pair
    if settings.dataset == "digits":
        data = problems.digits(settings.num_examples, **options)
    else:
        data = problems.cifar10(settings.num_examples, data_dir=data_dir, **options)
    shape = (data.x.shape[1], data.x.shape[2], data.x.shape[3])
    network = problems.resnet18(data.y.shape[1], image=shape, width=settings.width, stem_stride=settings.stem_stride)
    loss = problems.mean_softmax_cross_entropy if classes is None else problems.mean_logistic
    return problems.Supervised(network, data, loss)


def run(settings: Settings, context: Context) -> "xarray.Dataset":
    """Train at each batch size and learning rate from each start; measure the last layer every few epochs."""
    import numpy as np

    from precipice.results import pad_runs, to_dataset

    problem = problem_of(settings, context.data_dir)
    sizes, lrs = batch_sizes(settings), numbers(settings.lrs, "lrs", ascending=True)
    cells = [(size, lr, seed) for size in sizes for lr in lrs for seed in range(settings.seeds)]
    runs = [_training(problem, settings, context, *cell) for cell in cells]
    saved = dict(pad_runs([dict(each.saved) for each in runs], "epoch"))
    saved["status"] = np.array([int(each.status) for each in runs])
    saved["diverged_at"] = np.array([each.diverged_at for each in runs])
    shape = (len(sizes), len(lrs), settings.seeds)
    saved = {name: values.reshape(*shape, *values.shape[1:]) for name, values in saved.items()}
    epochs = np.arange(0, settings.epochs + 1, settings.every)[: saved["last_bias_median"].shape[-1]]
    coords = {"batch_size": sizes, "lr": lrs, "seed": range(settings.seeds), "epoch": epochs}
    return to_dataset(saved, coords=coords)


def _training(problem: Any, settings: Settings, context: Context, batch_size: int, lr: float, seed: int) -> Any:
    import jax
    import optax

    from precipice import dynamics
    from precipice.papers.ahn2022.last_layer import last_layer
    from precipice.papers.networks import checkpoint_in, seed_keys

    steps = settings.num_examples // batch_size
    schedule = dynamics.WarmUpCosine(lr, settings.epochs * steps)
    process = dynamics.EpochDescent(problem, dynamics.Optimiser(optax.sgd, {"learning_rate": schedule}), batch_size)
    return dynamics.train(
        process,
        key=seed_keys(seed, 1)[0],
        num_steps=settings.epochs * steps,
        every=settings.every * steps,
        probes=(last_layer(problem, whole=batch_size == settings.num_examples),),
        checkpoint=checkpoint_in(context, f"{batch_size}-{lr:g}-{seed}"),
        checkpoint_seconds=context.checkpoint_seconds,
        fingerprint=context.fingerprint,
        title=f"batch {batch_size}, lr {lr:g}, seed {seed}",
        progress=context.progress,
        block=1 if jax.default_backend() == "cpu" else None,  # no loop: XLA slows convolutions within one there
    )


def sizes_line(dataset: "xarray.Dataset", paper: str) -> str:
    """Network, data and scale in one clause, from recorded settings."""
    from precipice.figures import style

    settings = style.parameters(dataset)
    kinds = "classes " + settings["classes"] if settings["classes"] != WHOLE else "all classes"
    half = ", first convolution of stride 2" if settings["stem_stride"] == 2 else ""
    loss = "mean logistic loss of one logit" if settings["classes"] != WHOLE else "mean cross-entropy"
    scale = f"first of {style.count(settings['seeds'], 'seed')}, scale {dataset.attrs.get('scale', 'custom')}"
    return (
        f"ResNet-18 with BatchNorm, {settings['width']:g} of its width{half}; first {settings['num_examples']:,} "
        f"training images of {settings['dataset']} ({kinds}); {loss}; no momentum, cosine to 0 in {settings['epochs']} "
        f"epochs from the learning rates shown ({paper}); bias: median over the channels of the last BatchNorm; {scale}"
    )


def draw(ax: Any, dataset: "xarray.Dataset", name: str, label: str) -> None:
    """A variable of the first seed against the epoch, at each learning rate of one batch size."""
    from precipice.figures import style

    one = dataset.isel(seed=0)
    for index in range(dataset.sizes["lr"]):
        text = f"lr = {float(dataset['lr'][index]):.3g}"
        ax.plot(one["epoch"], one[name].isel(lr=index), ".-", ms=3, lw=1.0, color=style.COLOURS[index], label=text)
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    ax.legend(fontsize=8)


def fall(dataset: "xarray.Dataset", name: str) -> "xarray.DataArray":
    """The last value at the largest learning rate less that at the smallest, for each batch size."""
    last = dataset[name].isel(epoch=-1)
    return last.isel(lr=-1) - last.isel(lr=0)
