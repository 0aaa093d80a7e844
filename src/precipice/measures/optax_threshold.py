"""The threshold of an optax optimiser at work, read from its maker, its numbers and its state.

To add one:
1. Derive its edge in `thresholds.py`, for a fixed preconditioner.
2. Write a reader ``(numbers, memory) -> Threshold`` here and enter it in `_READERS`.
3. Add a row to `tests/test_thresholds.py`: the optimiser decays at 0.98 of the number and grows at 1.02.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import PyTree

from precipice._checks import InputError
from precipice.measures.thresholds import Threshold, heavy_ball_edge, nesterov_edge

SIGN_REASON = (
    "moves every parameter by lr whatever the curvature, so on a quadratic of any curvature it ends in a cycle of size "
    "lr and no curvature is marginal"
)
"""Why sign descent and Lion have no edge."""


def optax_threshold(optimiser: Any, memory: PyTree = None) -> Threshold:
    """The edge and the preconditioner of an optax optimiser at its present state.

    Known: sgd (momentum, Nesterov), adam, adamw, nadam, nadamw, rmsprop (centred, with momentum) and adagrad. A
    learning rate on a schedule is that of the next step, the preconditioner that of the last step taken. Adam's
    correction of the first moment's bias is counted to P (Cohen et al. 2022); Nadam's differs in its first steps only.

    Args:
        optimiser: a `dynamics.Optimiser`: ``make`` (an optax function) and ``numbers`` (its arguments by name).
        memory: its state (``state.memory`` of a run); may be left out for sgd with a constant learning rate.

    Returns:
        A `Threshold`, with a preconditioner shaped like the parameters for an adaptive optimiser, None else.

    Raises:
        InputError: an optimiser whose threshold is not known (with the reason for sign descent, the known ones else), a
            mask of weight decay, no state where one is needed, no step taken yet, or a number out of its range.

    References: Cohen et al. 2021, 2022; `thresholds.heavy_ball_edge` for the derivation.

    Example:
        >>> from precipice import dynamics
        >>> float(optax_threshold(dynamics.gradient_descent(0.5)).edge)
        4.0
    """
    make, given = _known(optimiser, memory)
    return _READERS[make](given, memory)


def optax_numbers(optimiser: Any, memory: PyTree = None) -> dict[str, Any]:
    """The arguments of a known optimiser by name, optax's defaults among them, a scheduled learning rate as it is now.

    Args:
        optimiser: as for `optax_threshold`.
        memory: its state; may be left out where the learning rate is constant.

    Raises:
        InputError: as `optax_threshold`.

    Example:
        >>> from precipice import dynamics
        >>> numbers = optax_numbers(dynamics.Optimiser(optax.adam, {"learning_rate": 0.5}))
        >>> float(numbers["learning_rate"]), numbers["b1"]
        (0.5, 0.9)
    """
    return _known(optimiser, memory)[1]


def check_known(optimiser: Any) -> None:
    """Refuse an optimiser that `optax_threshold` will not know, before there is a state.

    Raises:
        InputError: a bare optax transformation, or an optimiser without a known threshold.
    """
    _maker(optimiser)


def _known(optimiser: Any, memory: PyTree) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The maker of an optimiser whose threshold is known, and its numbers."""
    make, name, numbers = _maker(optimiser)
    given = {k: p.default for k, p in inspect.signature(make).parameters.items()} | numbers
    if given["learning_rate"] is inspect.Parameter.empty:
        raise InputError(f"optimiser must have a learning_rate; got {name} with {sorted(numbers)}.")
    if callable(given["learning_rate"]):
        given["learning_rate"] = given["learning_rate"](_part(memory, name, "count").count)
    return make, given


def _maker(optimiser: Any) -> tuple[Callable[..., Any], str, dict[str, Any]]:
    """The maker of an optimiser whose threshold is known, its name and the numbers it was given."""
    make, numbers = _unwrapped(optimiser)
    name = getattr(make, "__name__", repr(make))
    if name in ("lion", "sign_sgd", "signum"):
        raise InputError(f"optimiser must have a threshold; got {name}, which {SIGN_REASON}.")
    if make not in _READERS:
        known = ", ".join(sorted(reader.__name__ for reader in _READERS))
        raise InputError(f"optimiser must be one whose threshold is known ({known}, nadam, nadamw); got {name}.")
    return make, name, numbers


def _unwrapped(optimiser: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    make = getattr(optimiser, "make", None)
    if make is None:
        raise InputError(
            "optimiser must be a dynamics.Optimiser, such as dynamics.gradient_descent(lr); got a "
            f"{type(optimiser).__name__}, whose numbers are hidden."
        )
    if isinstance(make, functools.partial):  # optax.nadam is one
        return make.func, {**make.keywords, **optimiser.numbers}
    return make, dict(optimiser.numbers)


def _part(memory: Any, name: str, *fields: str) -> Any:
    """The first part of an optax state that has these fields."""

    def has_them(node):  # by _fields, since every tuple has a method count
        return set(fields) <= set(getattr(node, "_fields", ()))

    for part in filter(has_them, jax.tree.leaves(memory, is_leaf=has_them)):
        return part
    raise InputError(f"memory must be the state of {name} (with {', '.join(fields)}); got {type(memory).__name__}.")


def _taken(name: str, count: Any) -> None:
    """Refuse a state that has seen no gradient, where it can be told."""
    if not isinstance(count, Tracer) and not np.asarray(count).any():
        raise InputError(f"memory must be a state after at least one step of {name}; got one before the first.")


def _mapped(function: Callable[..., Any], *trees: PyTree) -> PyTree:
    """`function` leaf by leaf in the precision of each leaf, whatever that of the optimiser's numbers."""
    with jax.numpy_dtype_promotion("standard"):
        return jax.tree.map(lambda *leaves: jnp.asarray(function(*leaves), leaves[0].dtype), *trees)


def _sgd(numbers: dict[str, Any], _memory: PyTree) -> Threshold:
    return Threshold(_momentum_edge(numbers))


def _momentum_edge(numbers: dict[str, Any]) -> Any:
    lr, momentum = numbers["learning_rate"], numbers["momentum"]
    if momentum is None:
        return heavy_ball_edge(lr)
    return nesterov_edge(lr, momentum) if numbers["nesterov"] else heavy_ball_edge(lr, momentum)


def _adam(numbers: dict[str, Any], memory: PyTree) -> Threshold:
    decay = numbers.get("weight_decay", 0.0)
    if numbers.get("mask") is not None or callable(decay):
        raise InputError("weight_decay must be one number for all parameters; got a mask or a schedule of it.")
    b1, b2 = numbers["b1"], numbers["b2"]
    form = nesterov_edge if numbers["nesterov"] else heavy_ball_edge
    edge = form(numbers["learning_rate"], b1, dampening=b1, decoupled_weight_decay=decay)
    state = _part(memory, "adam", "count", "nu")
    _taken("adam", state.count)

    def one(nu):
        steps = jnp.asarray(state.count, float)
        return (1 - b1**steps) * (jnp.sqrt(nu / (1 - b2**steps) + numbers["eps_root"]) + numbers["eps"])

    return Threshold(edge, preconditioner=_mapped(one, state.nu))


def _rmsprop(numbers: dict[str, Any], memory: PyTree) -> Threshold:
    state = _part(memory, "rmsprop", "nu", *(["mu"] if numbers["centered"] else []))
    _taken("rmsprop", _any(state.nu))
    eps, correction = numbers["eps"], 1.0
    if numbers["bias_correction"]:
        correction = 1 - numbers["decay"] ** jnp.asarray(_part(memory, "rmsprop", "nu", "count").count, float)

    def one(nu, *mean):
        square = nu / correction - sum((m / correction) ** 2 for m in mean)
        return jnp.sqrt(square + eps) if numbers["eps_in_sqrt"] else jnp.sqrt(square) + eps

    trees = (state.nu, state.mu) if numbers["centered"] else (state.nu,)
    return Threshold(_momentum_edge(numbers), preconditioner=_mapped(one, *trees))


def _any(tree: PyTree) -> Any:
    return functools.reduce(jnp.logical_or, [jnp.any(leaf != 0) for leaf in jax.tree.leaves(tree)])


def _adagrad(numbers: dict[str, Any], memory: PyTree) -> Threshold:
    total = _part(memory, "adagrad", "sum_of_squares").sum_of_squares

    def one(square):  # optax leaves a parameter where it is until its first gradient
        return jnp.where(square > 0, jnp.sqrt(square + numbers["eps"]), jnp.inf)

    return Threshold(heavy_ball_edge(numbers["learning_rate"]), preconditioner=_mapped(one, total))


_READERS: dict[Any, Callable[[dict[str, Any], PyTree], Threshold]] = {
    optax.sgd: _sgd,
    optax.adam: _adam,
    optax.adamw: _adam,
    optax.rmsprop: _rmsprop,
    optax.adagrad: _adagrad,
}
