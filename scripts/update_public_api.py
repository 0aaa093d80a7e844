"""Write the public names of every room and their signatures to tests/public_api.txt, for a test to compare with.

    python scripts/update_public_api.py

Names, kinds of arguments and defaults are listed; annotations are not, because Python versions print them differently.
"""

import enum
import importlib
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOMS = ("problems", "curvature", "results", "measures", "dynamics", "figures", "monitor", "studies", "papers", "cli")
SNAPSHOT = Path(__file__).resolve().parent.parent / "tests" / "public_api.txt"
VARIADIC = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def describe() -> str:
    """The whole public interface as text."""
    return "\n".join(line for room in ROOMS for line in _room(f"precipice.{room}")) + "\n"


def _room(module_name: str) -> Iterator[str]:
    module = importlib.import_module(module_name)
    yield f"{module_name}:"
    lazy = {name: getattr(module, name) for name in getattr(module, "_WITH_JAX", ())}
    for name, value in sorted((vars(module) | lazy).items()):
        if not name.startswith("_") and not isinstance(value, types.ModuleType):
            yield from (f"    {line}" for line in _lines(name, value))


def _lines(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield name + (_signature(value) if inspect.isroutine(value) else f": {_value(value)}")
        return
    if issubclass(value, enum.Enum):
        yield f"class {name}: {', '.join(f'{member.name} = {member.value}' for member in value)}"
        return
    if issubclass(value, Exception):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
        return
    yield f"class {name}{_signature(value)}"
    for attribute, found in sorted(_members(value).items()):
        if isinstance(found, property):
            yield f"    .{attribute}"
        elif inspect.isroutine(getattr(found, "__wrapped__", found)) or callable(found):
            yield f"    .{attribute}{_signature(found)}"


def _members(kind: type) -> dict[str, Any]:
    """What the class and its bases in this package define, without fields and private names."""
    fields = {*getattr(kind, "_fields", ()), *getattr(kind, "__dataclass_fields__", {})}
    own = [base for base in kind.__mro__ if base.__module__.startswith("precipice")]
    found = {name: value for base in reversed(own) for name, value in vars(base).items()}
    return {
        name: value
        for name, value in found.items()
        if (name == "__call__" or not name.startswith("_")) and name not in fields
    }


def _signature(function: Any) -> str:
    words, keyword_only = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
        keyword_only |= parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        default = "" if parameter.default is inspect.Parameter.empty else f"={_value(parameter.default)}"
        words.append(VARIADIC.get(parameter.kind, "") + name + default)
    return f"({', '.join(words)})"


def _value(value: Any) -> str:
    """A default or a constant: plain ones as they are, anything else by its own name or by its type."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))})"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(value)) + "}"
    return getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__


if __name__ == "__main__":
    SNAPSHOT.write_text(describe())
    print(f"wrote {SNAPSHOT}")
