"""Code that text names as ``module:name``: imported, never evaluated, and only from precipice unless trusted."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from precipice._checks import InputError, one_line

_OURS = "precipice"


def named(text: Any, what: str, *, trust: bool, source: str, beside: Path) -> Any:
    """What ``module:name`` names.

    Args:
        text: it.
        what: where it stands, for errors.
        trust: import modules from outside precipice, which is to run their code.
        source: what would have to be trusted, for errors.
        beside: folder in which trusted modules are looked for, too.

    Raises:
        InputError: text of another form, a module or name that is not found, a module that does not run, or one outside
            precipice without `trust`.

    Example:
        >>> named("precipice.measures:adam_edge", "it", trust=False, source="it", beside=Path("."))(0.001) > 37999
        True
    """
    module, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
    parts = module.split(".")
    if not name.isidentifier() or not all(part.isidentifier() for part in parts):
        raise InputError(f"{what} must be module:function; got {text!r}.")
    if parts[0] != _OURS and not trust:
        raise _untrusted(text, what, source)
    folder = str(beside.resolve())
    if trust and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise InputError(f"{what} must name a module; {error}.") from error
    except AttributeError as error:
        raise InputError(f"{what} must be found in its module; {error}.") from error
    except Exception as error:
        raise InputError(f"{what} must name a module that runs; {one_line(error)}.") from error


def named_function(text: Any, what: str, *, trust: bool, source: str, beside: Path) -> Callable[..., Any]:
    """The function that ``module:function`` names.

    Args: as for `named`.

    Raises:
        InputError: as `named`; no function, or one that precipice only imports, without `trust`.
    """
    found = named(text, what, trust=trust, source=source, beside=beside)
    if not callable(found):
        raise InputError(f"{what} must be a function; {text!r} is none.")
    if not trust and str(getattr(found, "__module__", _OURS)).split(".")[0] != _OURS:
        raise _untrusted(f"{found.__module__}:{text.partition(':')[2]}", what, source)
    return found


def _untrusted(text: str, what: str, source: str) -> InputError:
    return InputError(
        f"{what} must lie in precipice unless {source} is trusted (--trust runs the code of its modules); got {text!r}."
    )
