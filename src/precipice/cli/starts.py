"""What a training starts from: a small network on a data set, or what a user's function makes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from precipice._checks import InputError, one_of

if TYPE_CHECKING:
    from precipice.problems import Supervised

DATA = ("digits", "mnist", "cifar10")


@dataclass(frozen=True)
class Network:
    """A fully connected network and its data: the settings of ``--set``.

    Args:
        dataset: one of `DATA`.
        num_examples: the first so many training images.
        preprocess: see `problems.data`.
        width: units in each hidden layer.
        depth: hidden layers.
        activation: see `papers.networks`.
        initialisation: see `papers.networks`.
        loss: squared (half squared error) or cross-entropy, a mean over examples.
        precision: float32 or float64.
    """

    dataset: str
    num_examples: int = 1000
    preprocess: str = "centre"
    width: int = 64
    depth: int = 2
    activation: str = "tanh"
    initialisation: str = "torch"
    loss: str = "squared"
    precision: str = "float32"

    @property
    def lr(self) -> float:
        """Asked for by `papers.networks`; nothing is trained."""
        return 1.0

    @property
    def words(self) -> str:
        """For print."""
        return (
            f"{self.depth} hidden layers of {self.width} {self.activation} units ({self.initialisation} "
            f"initialisation), first {self.num_examples:,} training images of {self.dataset}, {self.loss} loss"
        )


class Start(NamedTuple):
    """A model at its initialisation.

    Args:
        words: what it is, for print.
        made: a `Supervised`, or (loss, parameters, data) for JAX, or (module, loss, batches) for PyTorch.
        x64: whether JAX has 64 bits.
    """

    words: str
    made: Any
    x64: bool


def network_start(network: Network, data_dir: Path | None) -> Start:
    """A built-in network.

    Raises:
        InputError: settings that describe none, or absent data.
    """
    import jax

    from precipice import problems
    from precipice.papers.networks import check_network, problem_for

    check_network(network, 1)
    losses = {"squared": problems.mean_half_squared_error, "cross-entropy": problems.mean_softmax_cross_entropy}
    one_of("loss", network.loss, losses)
    x64 = network.precision == "float64"
    with jax.enable_x64(x64):
        base = problem_for(network, data_dir)
        return Start(network.words, problems.Supervised(base.network, base.data, losses[network.loss]), x64)


def named_start(text: str, seed: int, trust: bool) -> Start:
    """What ``module:function`` makes when called with the seed; modules are looked for in the working directory, too.

    Raises:
        InputError: as `studies.named.named_function`; a function that raises.
    """
    import jax

    from precipice._checks import one_line
    from precipice.studies.named import named_function

    make = named_function(text, f"MODEL {text!r}", trust=trust, source="it", beside=Path.cwd())
    try:
        return Start(text, make(seed), jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{text} must run when called with the seed {seed}; it raised {one_line(error)}.") from error


def is_torch(made: Any) -> bool:
    """Whether it begins with a PyTorch module; PyTorch is not imported to find out."""
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(made, tuple) and len(made) == 3 and isinstance(made[0], torch.nn.Module)


def jax_parts(start: Start, seed: int) -> "tuple[Any, Any, Any, dict[str, Any]]":
    """(loss, parameters, data, what else is known) as `monitor.largest_stable_lr` takes them.

    Raises:
        InputError: something else was made.
    """
    from precipice.problems import Supervised

    made = start.made
    if isinstance(made, Supervised):
        return _of_problem(made, seed)
    if isinstance(made, tuple) and len(made) == 3 and callable(made[0]):
        return (*made, {})
    raise InputError(
        f"{start.words} must return a problems.Supervised, (loss, params, data) or a PyTorch (model, loss, batches); "
        f"got {type(made).__name__}."
    )


def _of_problem(problem: "Supervised", seed: int) -> "tuple[Any, Any, Any, dict[str, Any]]":
    import jax

    from precipice import problems
    from precipice.monitor import SplitLoss

    kinds = {
        problems.mean_half_squared_error: "squared",
        problems.mean_squared_error: "squared",
        problems.mean_softmax_cross_entropy: "cross-entropy",
        problems.mean_logistic: "cross-entropy",
    }
    kind = kinds.get(problem.output_loss, "other")
    known = {
        "kind": kind,
        "num_outputs": problem.data.y.shape[1] if kind == "squared" else 1,
        "num_training": problem.data.num_examples,
    }
    loss = SplitLoss(problem.outputs, problem.loss_of_outputs)
    return loss, problem.init(jax.random.key(seed)), problem.data, known
