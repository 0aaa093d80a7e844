"""A study file: TOML that names code only as ``module:function``; nothing in it is evaluated."""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from precipice._checks import InputError, one_of
from precipice.results import Variable
from precipice.studies import axes
from precipice.studies.axes import Axis
from precipice.studies.named import named, named_function
from precipice.studies.study import Study

_TABLES = ("axes", "settings", "own", "variables", "chunk")
_PLAIN = ("version", "seed", "key_axes", "precision", "traced")
_NAMES = ("name", "run", "results", "probes", "claims", *_PLAIN, *_TABLES)
_KINDS = ("values", "linear", "log", "count", "uniform", "log_uniform", "normal")


def load(path: str | os.PathLike, *, trust: bool = False) -> Study:
    """The study that a file declares.

    ::

        name = "edges"
        run = "mymodule:train"             # train(key, *, lr, width, num_steps)
        results = ["final_loss", "margin"]

        [axes]
        lr = { log = [0.01, 1.0], num = 20 }     # or values, linear, uniform, log_uniform, normal (with seed), count
        width = { values = [16, 64], splits = true }
        seed = { count = 8 }

        [settings]
        num_steps = 200

        [variables.margin]                 # of your own; others are names of the vocabulary
        units = "1"
        meaning = "Smallest margin over the examples."
        reference = "definition"

    Args:
        path: of the file. Modules are looked for beside it, too.
        trust: import functions from outside precipice, which is to run their code.

    Raises:
        InputError: a file that is not there or no TOML, a name that is unknown (the nearest are offered), a value
            of the wrong kind, a function that is not found, or one outside precipice without `trust`.
    """
    path = Path(path)
    content = _read(path)
    for name in content:
        one_of(f"entry of '{path.name}'", name, _NAMES)
    for name in ("name", "run", "results", "axes"):
        if name not in content:
            raise InputError(f"'{path.name}' must have the entry {name!r}; it has {', '.join(sorted(content))}.")
    for name in _TABLES:
        _kind(path, name, content.get(name, {}), dict, "a table")
    probes = _list(path, "probes", content.get("probes", []))
    return Study(
        _kind(path, "name", content["name"], str, "text"),
        _function(path, trust, "run", content["run"]),
        [_axis(path, name, table) for name, table in content["axes"].items()],
        _variables(path, content["results"], content.get("variables", {})),
        content.get("settings", {}),
        content.get("own", {}),
        probes=[_function(path, trust, "probes", text) for text in probes],
        claims=_value(path, trust, "claims", content["claims"]) if "claims" in content else (),
        chunk=content.get("chunk"),
        **{name: content[name] for name in _PLAIN if name in content},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Study file '{path}' must be a file that can be read; {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"Study file '{path}' must be TOML; {error}.") from error


def _kind(path: Path, name: str, value: Any, kind: type, words: str) -> Any:
    if not isinstance(value, kind):
        raise InputError(f"{name!r} in '{path.name}' must be {words}; got {value!r}.")
    return value


def _list(path: Path, name: str, value: Any) -> list[Any]:
    return _kind(path, name, value, list, "a list")


def _function(path: Path, trust: bool, entry: str, text: Any) -> Callable[..., Any]:
    return named_function(text, _place(path, entry), trust=trust, source="the file", beside=path.resolve().parent)


def _value(path: Path, trust: bool, entry: str, text: Any) -> Any:
    return named(text, _place(path, entry), trust=trust, source="the file", beside=path.resolve().parent)


def _place(path: Path, entry: str) -> str:
    return f"{entry!r} in '{path.name}'"


def _axis(path: Path, name: str, table: Any) -> Axis:
    if isinstance(table, list):
        return Axis(name, table)
    _kind(path, name, table, dict, "a list of values or a table")
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise InputError(
            f"Axis {name!r} in '{path.name}' must have one of {', '.join(_KINDS)}; got {', '.join(table)}."
        )
    axis = _made(path, name, kinds[0], dict(table))
    splits = _kind(path, f"splits of axis {name}", table.get("splits", False), bool, "true or false")
    return Axis(name, axis.values, splits=splits)


def _made(path: Path, name: str, kind: str, table: dict[str, Any]) -> Axis:
    needed = {"values": (), "count": ()}.get(kind, ("num",) if kind in ("linear", "log") else ("num", "seed"))
    for entry in table:
        one_of(f"entry of axis {name!r}", entry, (kind, "splits", *needed))
    for entry in needed:
        if entry not in table:
            raise InputError(f"Axis {name!r} in '{path.name}' must state {entry!r} beside {kind!r}; it does not.")
    given = table[kind]
    if kind == "values":
        return Axis(name, _list(path, f"values of axis {name}", given))
    if kind == "count":
        return axes.counted(name, given)
    low, high = _pair(path, name, kind, given)
    drawn = {"uniform": axes.uniform, "log_uniform": axes.log_uniform, "normal": axes.normal}
    if kind in drawn:
        return drawn[kind](name, low, high, table["num"], seed=table["seed"])
    return {"linear": axes.linear, "log": axes.logarithmic}[kind](name, low, high, table["num"])


def _pair(path: Path, name: str, kind: str, given: Any) -> Sequence[float]:
    if not (isinstance(given, list) and len(given) == 2 and all(isinstance(v, int | float) for v in given)):
        raise InputError(f"{kind!r} of axis {name!r} in '{path.name}' must be two numbers; got {given!r}.")
    return given


def _variables(path: Path, results: Any, tables: Mapping[str, Any]) -> list[str | Variable]:
    names = _list(path, "results", results)
    for name in tables:
        one_of(f"variable of '{path.name}'", name, names)
    return [_variable(path, name, tables[name]) if name in tables else name for name in names]


def _variable(path: Path, name: str, table: Any) -> Variable:
    _kind(path, f"variables.{name}", table, dict, "a table")
    known = ("dims", "units", "meaning", "reference")
    for entry in table:
        one_of(f"entry of variable {name!r}", entry, known)
    dims = tuple(_list(path, f"dims of {name}", table.get("dims", [])))
    units, meaning, reference = (str(table.get(entry, "")) for entry in known[1:])
    return Variable(name, dims, units, meaning, reference)
