"""The store: a dataset as a Zarr folder that is written whole or not at all and tells when it is damaged.

Zarr format 3, readable by any Zarr reader (``xarray.open_zarr(path, consolidated=False)``). Every chunk ends
in a CRC32C, every file has its SHA-256 in the root attributes (`checksums.py`), and a new store takes the
place of the old one in one step (`swap.py`). The layout has a version: `checksums.STORE_VERSION`.
"""

import os
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precipice._checks import InputError
from precipice.results.atomic import reason
from precipice.results.attributes import plain
from precipice.results.cell_files import VERSION
from precipice.results.cells import CellStore
from precipice.results.checksums import ATTRIBUTES, FILES, root_attributes, seal, sealed_files
from precipice.results.errors import StoreError, WriteError
from precipice.results.swap import place, write_folder

if TYPE_CHECKING:
    import xarray

_ONE_CHUNK = 64 * 2**20
_KINDS = "biufc"


def save(ds: "xarray.Dataset", path: str | os.PathLike, *, overwrite: bool = True) -> None:
    """Write a dataset to the folder `path`, in one step: whoever opens it finds the old dataset or the new.

    That holds for a reader at any moment, and after the process is killed at any moment. Numbers keep
    their precision; attributes take the form of `attributes.plain`, and ``store_version`` is added to them.
    What killed writers left beside the path is removed.

    Args:
        ds: numeric variables and coordinates (text as integer codes and attributes).
        path: of the folder; its parent is created if need be.
        overwrite: whether a store that is there may be replaced. A folder that is no store never is.

    Cost: some 50 ms, and the compressed size twice in memory.

    Raises:
        InputError: a variable that is not numeric, an attribute that does not fit, a path that must not be
            overwritten.
        WriteError: the disk refused (full, no permission); the store that was there is kept.

    Example:
        >>> import tempfile, xarray
        >>> folder = tempfile.TemporaryDirectory()
        >>> save(xarray.Dataset({"edge": 8.0}, attrs={"study": "demo"}), folder.name + "/demo.zarr")
        >>> ds = open(folder.name + "/demo.zarr")
        >>> float(ds["edge"]), ds.attrs["study"]
        (8.0, 'demo')
        >>> folder.cleanup()
    """
    target = Path(os.path.realpath(path))
    files = seal(_encoded(ds))
    try:
        _check_target(target, str(path), overwrite=overwrite)
        write_folder(target, files, overwrite=overwrite)
    except OSError as error:
        raise WriteError(f"Store '{path}' could not be written: {reason(error)}; what was there is kept.") from error


def open(path: str | os.PathLike) -> "xarray.Dataset":
    """The dataset of the store at `path`, in memory, every byte of it checked; variables in order of name.

    A study's store of cells is opened lazily, see `CellStore.dataset`: each chunk is checked when it is read.

    Raises:
        StoreError: there is no store, it is damaged, or of another version. Wrong numbers are never returned.
    """
    if _is_cells(path):
        return CellStore(path).dataset()
    import xarray
    from zarr.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {name: Buffer.from_bytes(data) for name, data in sorted(_checked_files(path).items())}
    ds = xarray.open_zarr(
        MemoryStore(files, read_only=True),
        consolidated=False,
        zarr_format=3,
        chunks=None,
        mask_and_scale=False,
        decode_times=False,
        decode_timedelta=False,
    )
    ds = ds.load().drop_encoding()
    variables = {name: ds.variables[name] for name in sorted(ds.data_vars, key=str)}
    return xarray.Dataset(variables, coords=ds.coords, attrs=_without_checksums(ds.attrs))


def verify(path: str | os.PathLike) -> None:
    """Check every byte of the store at `path`, also of a study's cells; needs neither xarray nor zarr.

    Raises:
        StoreError: there is no store, it is damaged, or of another version.
    """
    if _is_cells(path):
        CellStore(path).verify()
        return
    _checked_files(path)


def _is_cells(path: str | os.PathLike) -> bool:
    try:
        return VERSION in root_attributes(Path(os.path.realpath(path)), str(path))
    except StoreError:
        return False


def _checked_files(path: str | os.PathLike) -> dict[str, bytes]:
    """The files, each checked; read again if a writer replaced the store meanwhile."""
    target = Path(os.path.realpath(path))
    while True:
        folder = place(target)
        before = _identity(folder)
        try:
            return sealed_files(folder, str(path))
        except StoreError:
            if _identity(place(target)) == before:
                raise


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_target(target: Path, shown: str, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise InputError(f"Store '{shown}' must be a folder, but there is a file of that name; move it away.")
    if _is_cells(target):
        raise InputError(f"Store '{shown}' would replace the cells of a study; move it away or take another name.")
    names = {p.name for p in target.iterdir()}
    if names and not overwrite:
        raise InputError(f"Store '{shown}' must not exist when overwrite is off; it does.")
    if names and "zarr.json" not in names and target.suffix != ".zarr":
        raise InputError(f"Store '{shown}' would replace a folder that is no store; move it away or take another name.")


def _encoded(ds: "xarray.Dataset") -> dict[str, bytes]:
    """The files of the dataset as Zarr writes them."""
    from zarr.abc.codec import BytesBytesCodec
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    ds = _normal(ds)
    compressors: tuple[BytesBytesCodec, ...] = (ZstdCodec(), Crc32cCodec())
    encoding = {name: _encoding(v, compressors) for name, v in ds.variables.items()}
    files: dict[str, Any] = {}
    ds.to_zarr(
        MemoryStore(files),
        mode="w",
        consolidated=False,
        zarr_format=3,
        encoding=encoding,
        write_empty_chunks=True,  # every number is in a file; none is implied by a fill value
    )
    return {name: buffer.to_bytes() for name, buffer in files.items()}


def _encoding(v: "xarray.Variable", compressors: tuple[Any, ...]) -> dict[str, Any]:
    encoding = {"compressors": compressors, "_FillValue": None}
    return encoding | ({"chunks": v.shape} if 0 < v.nbytes <= _ONE_CHUNK and v.ndim else {})


def _normal(ds: "xarray.Dataset") -> "xarray.Dataset":
    """In memory, with attributes in normal form, free of what an earlier file prescribed."""
    ds = ds.compute().drop_encoding()
    ds.attrs = plain(_without_checksums(ds.attrs))
    for name, v in ds.variables.items():
        _check_variable(name, v)
        ds[name].attrs = plain(v.attrs)
    return ds


def _check_variable(name: Hashable, v: "xarray.Variable") -> None:
    if not (isinstance(name, str) and name.isidentifier()):
        raise InputError(f"Names of variables must be identifiers; got {name!r}.")
    if v.dtype.kind not in _KINDS:
        raise InputError(f"Variable {name!r} must be numeric (text as integer codes and attributes); got {v.dtype}.")


def _without_checksums(attrs: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in attrs.items() if name not in (FILES, ATTRIBUTES)}
