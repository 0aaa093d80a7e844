"""Where a result comes from: what ran, with which parameters, on which versions and which machine."""

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import precipice
from precipice._checks import InputError
from precipice.results.attributes import canonical_json, plain
from precipice.results.checksums import STORE_VERSION, VERSION

_PACKAGES = ("jax", "jaxlib", "numpy", "xarray", "zarr")
_SWITCHES = (
    "JAX_ENABLE_X64",
    "JAX_PLATFORMS",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_NUM_CPU_DEVICES",
    "XLA_FLAGS",
)
_NONE = "none"
_GIT_SECONDS = 2.0


def provenance(
    *,
    study: str,
    parameters: Mapping[str, Any],
    seed: int,
    precision: str,
    wall_time: float,
    device: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Attributes that say where a dataset comes from: flat, and all of them text or numbers.

    Neither the command line nor any path is recorded: parts of XLA_FLAGS that hold a path read ``<path>``.

    Args:
        study: its name.
        parameters: all that fixes the result, as `attributes.canonical_json` takes it.
        seed: of the random numbers.
        precision: such as "float64".
        wall_time: seconds the run took.
        device: what it ran on, in the caller's words (this room does not ask JAX).
        extra: further attributes.

    Cost: some 20 ms, most of it asking git about the checkout.

    Raises:
        InputError: parameters or attributes that do not fit, or an extra one that takes a name used here.

    Example:
        >>> attrs = provenance(
        ...     study="demo", parameters={"lr": 0.1}, seed=0, precision="float64", wall_time=1.5
        ... )
        >>> attrs["parameters"], attrs["wall_time_seconds"], attrs["device"]
        ('{"lr":0.1}', 1.5, 'none')
    """
    attrs = {
        "study": study,
        "parameters": canonical_json("parameters", dict(parameters)),
        "parameters_key": parameters_key(parameters),
        "seed": seed,
        "precision": precision,
        "wall_time_seconds": float(wall_time),
        "device": device or _NONE,
        VERSION: STORE_VERSION,
        **_software(),
        **_machine(),
    }
    clash = sorted(set(attrs) & set(extra or {}))
    if clash:
        raise InputError(f"Extra attributes must not take the names of others; got {', '.join(clash)}.")
    return plain(attrs | dict(extra or {}))


def parameters_key(parameters: Mapping[str, Any]) -> str:
    """SHA-256, 64 hex digits, of the parameters as canonical JSON: the same for any order of the names.

    1 and 1.0 are different parameters, and so are 0.1 in float32 and in float64; tuples and lists are not.

    Raises:
        InputError: parameters that JSON cannot hold.

    Example:
        >>> parameters_key({"lr": 0.1, "width": 8}) == parameters_key({"width": 8, "lr": 0.1})
        True
    """
    return hashlib.sha256(canonical_json("parameters", dict(parameters)).encode()).hexdigest()


def _software() -> dict[str, Any]:
    import platform

    commit, dirty = _checkout(Path(__file__).parent.parent)
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "precipice_version": precipice.__version__,
        "git_commit": commit,
        "git_dirty": dirty,
        "python_version": platform.python_version(),
        **{f"{name}_version": _version(name) for name in _PACKAGES},
        **{name.lower(): _without_paths(os.environ.get(name, _NONE)) for name in _SWITCHES},
    }


def _machine() -> dict[str, Any]:
    import platform

    return {"platform": platform.platform(), "cpu": _cpu(), "num_threads": num_threads()}


def _checkout(folder: Path) -> tuple[str, str]:
    """Commit, and "yes" or "no" to whether the sources differ from it; "none" without a checkout."""
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ".")
    if tracked is None or commit is None or changes is None:
        return _NONE, _NONE
    return commit, "yes" if changes else "no"


def _git(folder: Path, *words: str) -> str | None:
    import subprocess

    # A hook's GIT_DIR would point at another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _NONE


def _without_paths(text: str) -> str:
    return re.sub(r"=\S*[/\\]\S*", "=<path>", text)


def _cpu() -> str:
    import platform

    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine() or _NONE


def num_threads() -> int:
    """Threads that JAX computes with on a CPU: the variable ``NPROC``, else the cores this process may use."""
    asked = os.environ.get("NPROC", "")
    if asked.isdigit():
        return int(asked)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
