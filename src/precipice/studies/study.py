"""The declaration of a study: a grid of named axes, one function for one run, settings, probes and claims."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from precipice._checks import InputError, at_most, one_of, whole
from precipice.results.attributes import canonical_json
from precipice.results.variable import Variable
from precipice.results.vocabulary import variable
from precipice.studies.axes import Axis

if TYPE_CHECKING:
    from precipice.figures.claims import Claim

SEED = "seed"
"""The axis that a function need not take: its values change the key alone."""

PRECISIONS = ("float64", "float32")

Run = Callable[..., Any]
Probe = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Study:
    """A grid of runs: every combination of the axes' values is a cell, and `run` computes one of them.

    ``run(key, **values)`` is given the cell's key, the cell's value of each axis and the settings, by name. It returns
    a mapping of results, or anything that the probes turn into such; "status" (`results.Status`) may be among them,
    else a cell with a floating-point result that is not finite counts as diverged. It must be pure: its result
    depends on its arguments alone.

    Where `traced` is set, `run` is a JAX function of its key and of the values of the axes that do not split: these
    arrive as arrays without axes, and the cells of a block are one compiled program, a nested `vmap` with one level an
    axis, so that what depends on one axis alone is computed once for each of its values. Otherwise `run` is an
    ordinary function of Python numbers, called for one cell after the other: for runs that are driven from the host.

    A cell's key is the study's key with the names and values of `key_axes` folded in: cells that agree in these have
    equal keys (common random numbers), and adding values to an axis changes no other cell.

    Args:
        name: of the study; stored with the results.
        run: one run.
        axes: of the grid, outermost first.
        variables: the results, each a name of the vocabulary or a `Variable` of your own.
        settings: further arguments of `run`, the same in every cell: text, numbers, truth values, lists of such.
        own: values of the axes that results have within a cell, such as ``{"step": range(100)}``.
        probes: functions of what `run` returns, each giving results by name; none: `run` itself gives them.
        claims: judged on the dataset when the study is complete.
        version: raise it when the meaning of `run` changes: results of another version are never mixed in.
        seed: of the study's key.
        key_axes: axes that change a cell's key; None: all of them.
        precision: float64 or float32.
        traced: see above.
        chunk: cells of a block along each axis, where the study fixes them: a block's shape can change bits, and a
            planned one depends on how fast the machine was. Nothing is then run to plan it, and whether it is pure is
            not looked at. None: planned, see `plan`.

    Raises:
        InputError: an axis, setting or variable that is unknown or named twice, with the nearest known names.

    Example:
        >>> def halving(key, *, lr, curvature):
        ...     return {"final_loss": (1 - lr * curvature) ** 20}
        >>> study = Study("halving", halving, (Axis("lr", (0.1, 0.2)),), ("final_loss",), {"curvature": 1.0})
        >>> study.num_cells
        2
    """

    name: str
    run: Run
    axes: Sequence[Axis]
    variables: Sequence[str | Variable]
    settings: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Sequence[float]] = field(default_factory=dict)
    probes: Sequence[Probe] = ()
    claims: "Sequence[Claim]" = ()
    version: int = 1
    seed: int = 0
    key_axes: Sequence[str] | None = None
    precision: str = "float64"
    traced: bool = True
    chunk: Mapping[str, int] | None = None

    def __post_init__(self):
        for name, kind in (("axes", Axis), ("variables", str | Variable), ("probes", object), ("claims", object)):
            object.__setattr__(self, name, _listed(name, getattr(self, name), kind))
        if self.key_axes is not None:
            object.__setattr__(self, "key_axes", _listed("key_axes", self.key_axes, str))
        if not (isinstance(self.name, str) and self.name.strip()):
            raise InputError(f"The name of a study must be text that is not empty; got {self.name!r}.")
        one_of("precision", self.precision, PRECISIONS)
        if not isinstance(self.traced, bool):
            raise InputError(f"traced must be True or False; got {self.traced!r}.")
        whole("version of a study", self.version, 1)
        whole("seed of a study", self.seed, 0)
        canonical_json("settings", dict(self.settings))
        _check_names(self)
        _check_variables(self)
        _check_numbers(self)
        _check_arguments(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def num_cells(self) -> int:
        """Runs in all."""
        return math.prod(self.shape)

    @property
    def num_programs(self) -> int:
        """Programs to compile: one for each combination of the values of axes that split."""
        return math.prod(len(axis) for axis in self.axes if axis.splits) if self.traced else 0

    @property
    def keyed(self) -> tuple[str, ...]:
        """The axes that change a cell's key."""
        return tuple(axis.name for axis in self.axes) if self.key_axes is None else tuple(self.key_axes)

    @property
    def source(self) -> str:
        """Where `run` comes from: ``module:function``."""
        function = inspect.unwrap(self.run)
        return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"


def with_values(study: Study, axes: Mapping[str, Sequence[float]]) -> Study:
    """The study with other values of some axes.

    Raises:
        InputError: an unknown axis, or values that an axis cannot have.

    Example:
        >>> def run(key, *, lr):
        ...     return {"final_loss": lr}
        >>> study = Study("demo", run, (Axis("lr", (0.1, 0.2)),), ("final_loss",))
        >>> with_values(study, {"lr": [0.3]}).shape
        (1,)
    """
    for name in axes:
        one_of("axis", name, [axis.name for axis in study.axes])
    changed = [dataclasses.replace(axis, values=axes.get(axis.name, axis.values)) for axis in study.axes]
    return dataclasses.replace(study, axes=changed)


def _listed(name: str, values: Any, kind: Any) -> tuple[Any, ...]:
    is_list = isinstance(values, Iterable) and not isinstance(values, str | Mapping)
    listed = tuple(values) if is_list else ()
    if not is_list or not all(isinstance(value, kind) for value in listed):
        raise InputError(f"{name} of a study must be a list of {getattr(kind, '__name__', kind)}; got {values!r:.80}.")
    return listed


def _check_variables(study: Study) -> None:
    """The variables are known, and have names of their own."""
    own = [Axis(name, values).name for name, values in study.own.items()]
    variables = [v.name for v in (v if isinstance(v, Variable) else variable(v) for v in study.variables)]
    _check_differ("Axes and variables", [*(axis.name for axis in study.axes), *own, *variables])


def _check_differ(what: str, names: Sequence[str]) -> None:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"{what} must have names of their own; got {twice!r} twice.")


def _check_numbers(study: Study) -> None:
    """The values of every axis are distinct numbers in the study's precision, too."""
    for axis in study.axes if study.precision == "float32" else ():
        if axis.dtype.kind == "i":
            at_most(f"The values of axis {axis.name!r}", max(map(abs, axis.values)), 2**31 - 1, "what 32 bits hold")
            continue
        with np.errstate(over="ignore"):
            narrow = np.asarray(axis.values, np.float32)
        if not np.isfinite(narrow).all() or len(set(narrow.tolist())) < len(axis):
            raise InputError(f"The values of axis {axis.name!r} must be distinct, finite numbers in float32, too.")


def _check_names(study: Study) -> None:
    if not study.axes or not study.variables:
        raise InputError(
            f"A study must have at least 1 axis and 1 variable; got {len(study.axes)} and {len(study.variables)}."
        )
    _check_differ("Axes and settings", [*(axis.name for axis in study.axes), *study.settings])
    axes = [axis.name for axis in study.axes]
    if study.chunk is not None and sorted(study.chunk) != sorted(axes):
        raise InputError(f"chunk of study {study.name!r} must have its axes {axes}; got {list(study.chunk)}.")
    for name in study.keyed:
        one_of("key axis", name, [axis.name for axis in study.axes])


def _check_arguments(study: Study) -> None:
    """The axes and settings are arguments of `run`, and all that it needs is there."""
    if not callable(study.run):
        raise InputError(f"run must be a function; got {type(study.run).__name__}.")
    arguments = inspect.signature(study.run).parameters
    if any(p.kind is p.VAR_KEYWORD for p in arguments.values()):
        return
    known = list(arguments)[1:]
    for axis in study.axes:
        if axis.name != SEED:
            one_of(f"axis of study {study.name!r}", axis.name, known)
    for name in study.settings:
        one_of(f"setting of study {study.name!r}", name, known)
    given = {axis.name for axis in study.axes} | set(study.settings)
    for name in known:
        if name not in given and arguments[name].default is inspect.Parameter.empty:
            raise InputError(f"Argument {name!r} of {study.source} must be an axis or a setting; it is neither.")
