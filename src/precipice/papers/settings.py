"""Settings of a figure from the command line: ``--set name=value``, typed by the settings dataclass."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from precipice._checks import InputError, one_of, positive

_READ = {"int": int, "float": float, "str": str}


def changed(settings: Any, assignments: Sequence[str]) -> Any:
    """`settings` with the fields named in ``name=value`` strings replaced.

    Raises:
        InputError: no ``=``, an unknown name (nearest offered), or a value of the wrong type.
    """
    types = {field.name: _type_name(field.type) for field in dataclasses.fields(settings)}
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"a setting must be given as name=value; got {assignment!r}.")
        one_of("setting", name.strip(), types)
        values[name.strip()] = _read(name.strip(), types[name.strip()], text.strip())
    return dataclasses.replace(settings, **values)


def changed_values(settings: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A mapping of settings with those named in ``name=value`` strings replaced, by values of the same kind.

    Raises:
        InputError: no ``=``, an unknown name (nearest offered), or a value of another kind.

    Example:
        >>> changed_values({"num_steps": 100, "rule": "sgd"}, ["num_steps=200"])
        {'num_steps': 200, 'rule': 'sgd'}
    """
    values = dict(settings)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"a setting must be given as name=value; got {assignment!r}.")
        one_of("setting", name, values)
        try:
            value = text if isinstance(values[name], str) else json.loads(text)
        except json.JSONDecodeError:
            value = text
        value = float(value) if isinstance(values[name], float) and type(value) is int else value
        if type(value) is not type(values[name]):
            kind = type(values[name]).__name__
            raise InputError(f"setting {name} must be of the kind {kind}; got {text!r}.")
        values[name] = value
    return values


def _type_name(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else annotation.__name__


def _read(name: str, kind: str, text: str) -> Any:
    try:
        return _READ[kind](text)
    except ValueError:
        article = "an" if kind == "int" else "a"
        raise InputError(f"setting {name} must be {article} {kind}; got {text!r}.") from None


def to_json(settings: Any) -> dict[str, Any]:
    """The settings as a dictionary that JSON can hold."""
    return dataclasses.asdict(settings)


def from_json(kind: type, text: str) -> Any:
    """The settings of dataclass `kind` recorded as JSON.

    Raises:
        InputError: the recorded names are not those of this version.
    """
    recorded = json.loads(text)
    names = {field.name for field in dataclasses.fields(kind)}
    if set(recorded) != names:
        odd = sorted(set(recorded) ^ names)
        raise InputError(f"recorded settings must have the names of this version; they differ in {', '.join(odd)}.")
    return kind(**recorded)


def numbers(text: str, name: str, *, ascending: bool = False) -> list[float]:
    """Positive numbers written as "9, 7, 5, 3".

    Raises:
        InputError: not of this form, or not ascending where they must be.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{name} must be numbers such as '0.1, 0.2'; got {text!r}.") from None
    for value in found:
        positive(f"each of {name}", value)
    if ascending and sorted(set(found)) != found:
        raise InputError(f"{name} must be ascending; got {text!r}.")
    return found


def check_precision(precision: str) -> None:
    """Refuse all but float64, for figures that follow losses and offsets down to rounding.

    Raises:
        InputError: another precision.
    """
    if precision != "float64":
        raise InputError(f"precision must be float64; got {precision!r}.")
