"""The learning rate, edge and preconditioner of an optax optimiser at work, as the monitor's core takes them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from precipice._checks import InputError
from precipice._types import Params
from precipice.dynamics.descent import Optimiser
from precipice.measures import Threshold, optax_numbers, optax_threshold
from precipice.monitor.reading import Rates


def name_of(optimiser: Any) -> str:
    """``adamw``, ``sgd``: the name of the optax function."""
    make = getattr(optimiser, "make", None)
    make = getattr(make, "func", make)  # optax.nadam is a partial
    return getattr(make, "__name__", type(optimiser).__name__)


def refuse_traced(params: PyTree) -> None:
    """Refuse a call inside of a compiled function, which would measure once, while it is traced, and never again.

    Raises:
        InputError: tracers among the arrays.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(params)):
        raise InputError("monitor.step must be called outside of jit, after the compiled update; got traced arrays.")


def present(optimiser: Any, opt_state: PyTree) -> Any:
    """The optimiser with the numbers that ``optax.inject_hyperparams`` holds in the state, where it does."""

    def injected(node: Any) -> bool:
        return hasattr(node, "hyperparams")

    parts = [node for node in jax.tree.leaves(opt_state, is_leaf=injected) if injected(node)]
    if not parts or not hasattr(optimiser, "make"):
        return optimiser
    return Optimiser(optimiser.make, optimiser.numbers | dict(parts[0].hyperparams))


def stands_still(optimiser: Any, opt_state: PyTree) -> bool:
    """Whether the learning rate is 0 now, so that there is no edge.

    Raises:
        InputError: as `rates_of`.
    """
    return _number(optax_numbers(present(optimiser, opt_state), opt_state)["learning_rate"]) == 0


def rates_of(optimiser: Any, opt_state: PyTree) -> tuple[Rates, Threshold]:
    """The numbers of the optimiser for the next step, as floats, and its `Threshold`.

    Args:
        optimiser: a `dynamics.Optimiser`.
        opt_state: the optax state, alone or within a chain.

    Raises:
        InputError: an optimiser whose threshold is not known, or a state without what it needs.
    """
    optimiser = present(optimiser, opt_state)
    numbers, threshold = optax_numbers(optimiser, opt_state), optax_threshold(optimiser, opt_state)
    mean = numbers.get("b1")  # the first moment of the Adam kind: momentum that is dampened by as much
    momentum = mean if mean is not None else numbers.get("momentum") or 0.0
    decay = numbers.get("weight_decay", 0.0)
    rates = Rates(
        lr=_number(numbers["learning_rate"]),
        edge=_number(threshold.edge),
        momentum=_number(momentum),
        dampening=0.0 if mean is None else _number(mean),
        weight_decay=_number(threshold.weight_decay),
        decoupled_weight_decay=_number(decay),
    )
    return rates, threshold


def root_scale(threshold: Threshold, params: Params) -> Params | None:
    """The square root of S = 1/(edge P), shaped like the parameters; None for P = I.

    Raises:
        InputError: a state that belongs to other parameters.
    """
    if threshold.preconditioner is None:
        return None
    scale = threshold.preconditioner
    if jax.tree.structure(scale) != jax.tree.structure(params):
        raise InputError(
            "opt_state must belong to the parameters that are trained; got a state of another structure "
            "(start it with optimiser.init(equinox.filter(model, equinox.is_inexact_array)), or give trainable=)."
        )
    edge = _number(threshold.edge)
    return jax.tree.map(lambda p, leaf: jnp.asarray(1 / jnp.sqrt(edge * p.astype(leaf.dtype))), scale, params)


def _number(value: Any) -> float:
    return float(np.asarray(value))
