"""What a monitor's numbers refer to: the loss, the estimator and the conventions that every K and advice must name."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from precipice._checks import InputError, one_of, whole

LossKind = Literal["squared", "cross-entropy", "other"]
"""A mean over examples of squared errors, of (softmax or logistic) cross-entropies, or of anything else."""

Matrix = Literal["Gauss-Newton", "Hessian"]
"""Whose trace K is estimated from: agarwala2024 take the Gauss-Newton matrix."""


def check_training_size(batch_size: int, num_training: int) -> None:
    """Refuse a batch larger than the training data."""
    whole("num_training", num_training, 1)
    if batch_size > num_training:
        raise InputError(f"num_training must be at least the batch size ({batch_size}); got {num_training}.")


@dataclass(frozen=True)
class Setting:
    """The fixed facts of a monitored training.

    Args:
        loss: its kind; the loss is a mean over examples.
        optimiser: its name, as in ``adamw``.
        batch_size: B, the examples of one training step (all workers and accumulated parts together).
        num_examples: of the probe set that measurements run on.
        num_outputs: C, what the trace form of K divides by beside B: the outputs of an example under a squared loss
            (formula sheet, SEOS-26); 1 under cross-entropy, as agarwala2024, eq. 130 has it.
        trace_of: the matrix whose trace K is estimated from.
        groups: names of the parameter groups, in the order of the optimiser.
        precision: of the solver, such as ``float32``.
        mode: how the model was evaluated, in words: train or eval, what happened to dropout.
        num_training: D, the training examples, or None where that is not known: K is then that of B far below D.

    Raises:
        InputError: an unknown kind of loss or matrix, a number below 1, no groups, or B above D.

    Example:
        >>> Setting("squared", "sgd", batch_size=32, num_examples=1000, num_outputs=10).groups
        ('all',)
    """

    loss: LossKind
    optimiser: str
    batch_size: int
    num_examples: int
    num_outputs: int = 1
    trace_of: Matrix = "Gauss-Newton"
    groups: tuple[str, ...] = ("all",)
    precision: str = "float32"
    mode: str = "as in training"
    num_training: int | None = None

    def __post_init__(self):
        one_of("loss", self.loss, get_args(LossKind))
        one_of("trace_of", self.trace_of, get_args(Matrix))
        for name in ("batch_size", "num_examples", "num_outputs"):
            whole(name, getattr(self, name), 1)
        if self.num_training is not None:
            check_training_size(self.batch_size, self.num_training)
        if not self.groups or len(set(self.groups)) != len(self.groups):
            raise InputError(f"groups must be at least one name, all different; got {self.groups}.")

    @property
    def convention(self) -> str:
        """The convention of K, for print."""
        count = "" if self.num_outputs == 1 else f" {self.num_outputs}"
        factor, of = "", ""
        if self.num_training is not None:
            factor, of = " (1 - B/D)", f" of D = {self.num_training:,} training"
        return (
            f"K = lr tr/(2 (1 - mu) B{count}){factor}, tr by random signs of the {self.trace_of} matrix of the mean "
            f"{self.loss if self.loss != 'other' else ''} loss over {self.num_examples:,} examples, "
            f"B = {self.batch_size:,}{of} examples"
        ).replace("  ", " ")

    @property
    def full_batch(self) -> bool:
        """Whether a step is known to take all training examples: then batches make no noise."""
        return self.batch_size == self.num_training

    def parameters(self) -> dict[str, Any]:
        """As plain values, for the attributes of a dataset."""
        return asdict(self)
