"""Optimisers by name: the numbers that each takes, under optax's names and PyTorch's."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from precipice._checks import InputError, one_of

if TYPE_CHECKING:
    from precipice.dynamics import Optimiser

PLACEHOLDER = 1e-3
"""The learning rate that the result is scaled from; it is no limit."""


class _Named(NamedTuple):
    """An optimiser's function in optax and class in PyTorch, its numbers with their defaults, and what is fixed."""

    optax: str
    torch: str
    numbers: Mapping[str, float]
    fixed: Mapping[str, Any] = {}


_OPTIMISERS = {
    "sgd": _Named("sgd", "SGD", {"momentum": 0.0}),
    "nesterov": _Named("sgd", "SGD", {"momentum": 0.9}, {"nesterov": True}),
    "adam": _Named("adam", "Adam", {"beta1": 0.9, "beta2": 0.999}),
    "adamw": _Named("adamw", "AdamW", {"beta1": 0.9, "beta2": 0.999, "weight_decay": 1e-4}),
    "rmsprop": _Named("rmsprop", "RMSprop", {"momentum": 0.0}),
    "adagrad": _Named("adagrad", "Adagrad", {}),
}
NAMES = tuple(_OPTIMISERS)
_OPTAX_NAMES = {"beta1": "b1", "beta2": "b2"}


class Chosen(NamedTuple):
    """An optimiser and its numbers, as asked for."""

    name: str
    numbers: Mapping[str, float]

    @property
    def words(self) -> str:
        """For print."""
        return ", ".join((self.name, *(f"{name} {value:g}" for name, value in self.numbers.items())))

    def for_jax(self) -> "Optimiser":
        """As `dynamics.Optimiser`."""
        import optax

        from precipice import dynamics

        one = _OPTIMISERS[self.name]
        numbers = {_OPTAX_NAMES.get(name, name): value for name, value in self.numbers.items()}
        return dynamics.Optimiser(getattr(optax, one.optax), {"learning_rate": PLACEHOLDER, **numbers, **one.fixed})

    def for_torch(self, params: Any) -> Any:
        """As a ``torch.optim.Optimizer`` of these parameters."""
        torch: Any = importlib.import_module("torch")
        one = _OPTIMISERS[self.name]
        numbers: dict[str, Any] = dict(self.numbers)
        if "beta1" in numbers:
            numbers["betas"] = (numbers.pop("beta1"), numbers.pop("beta2"))
        return getattr(torch.optim, one.torch)(params, lr=PLACEHOLDER, **numbers, **one.fixed)


def chosen(name: str, given: Mapping[str, float | None]) -> Chosen:
    """The optimiser of this name with its defaults and what is given.

    Args:
        name: one of `NAMES`.
        given: numbers by name; None where not given.

    Raises:
        InputError: an unknown name, a number that the optimiser does not take or that lies outside [0, 1) (weight
            decay: below 0).

    Example:
        >>> chosen("nesterov", {"momentum": None, "beta1": None}).words
        'nesterov, momentum 0.9'
    """
    one_of("optimiser", name, NAMES)
    numbers = dict(_OPTIMISERS[name].numbers)
    for key, value in given.items():
        if value is None:
            continue
        option = f"--{key.replace('_', '-')}"
        if key not in numbers:
            takes = ", ".join(f"--{known.replace('_', '-')}" for known in numbers) or "no number"
            raise InputError(f"{option} must not be given with {name}, which takes {takes}; got {value:g}.")
        if not value >= 0 or (key != "weight_decay" and not value < 1):
            raise InputError(
                f"{option} must {'be at least 0' if key == 'weight_decay' else 'lie in [0, 1)'}; got {value:g}."
            )
        numbers[key] = value
    return Chosen(name, numbers)
