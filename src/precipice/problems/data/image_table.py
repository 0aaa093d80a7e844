"""Images as rows of Parquet or Arrow shards, as the Hugging Face hub and `save_to_disk` keep them. No JAX here.

pyarrow is an extra (``pip install precipice[images]``), imported where it is used.
"""

import importlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from precipice._checks import InputError
from precipice.problems.data.encoded import AbstractImages
from precipice.problems.data.image_folder import shortened

SPLITS = {"train": ("train",), "val": ("val", "validation", "valid")}
"""What the files or folders of a split may be called."""

OF = re.compile(r"-(\d+)-of-(\d+)")


class Group(NamedTuple):
    """Rows that are read together: a row group of Parquet, a record batch of Arrow."""

    path: Path
    number: int


@dataclass(frozen=True, eq=False)
class TableImages(AbstractImages):
    """Rows of shards; make it with `image_table`. The groups last used are kept, up to `kept_bytes`.

    Args:
        labels: as for `AbstractImages`.
        classes: names from the files' metadata, or the numbers.
        runs: rows of each group.
        provenance: one sentence.
        groups: where each run lies.
        column: of the images.
        kept_bytes: of groups held at a time; one is always held. Give room for two windows of an order.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    runs: np.ndarray
    provenance: str
    groups: tuple[Group, ...]
    column: str
    kept_bytes: int
    _kept: OrderedDict[int, Future] = field(default_factory=OrderedDict, init=False)
    _lock: Any = field(default_factory=threading.Lock, init=False)

    def name(self, index: int) -> str:
        """The shard and the row in it."""
        group, row = self._place(index)
        before = [
            self.runs[i] for i, g in enumerate(self.groups[:group]) if g.path == self.groups[group].path
        ]  # groups of one shard are consecutive
        return f"{self.groups[group].path}, row {int(sum(before)) + row}"

    def read(self, index: int) -> bytes:
        """The bytes of the row's image."""
        group, row = self._place(index)
        found = self._group(group)[row].as_py()
        if found is None:
            raise InputError(f"image {self.name(index)} must hold its bytes; it holds none.")
        return found

    def _place(self, index: int) -> tuple[int, int]:
        ends = np.cumsum(self.runs)
        group = int(np.searchsorted(ends, index, side="right"))
        return group, int(index - (ends[group] - self.runs[group]))

    def _group(self, number: int) -> Any:
        """The images of a group; the first thread that asks reads it, others wait for it."""
        with self._lock:
            found = self._kept.get(number)
            mine = found is None
            if found is None:
                found = self._kept[number] = Future()
            self._kept.move_to_end(number)
        if mine:
            try:
                group = self.groups[number]
                found.set_result(_readable(_images_of, group.path, group, self.column))
                self._drop()
            except Exception as error:
                found.set_exception(error)
        return found.result()

    def _drop(self) -> None:
        """Let go of the groups longest unused, down to `kept_bytes`."""
        with self._lock:
            sizes = {n: f.result().nbytes for n, f in self._kept.items() if f.done() and f.exception() is None}
            spent = sum(sizes.values())
            for number, size in list(sizes.items())[:-1]:
                if spent <= self.kept_bytes:
                    return
                del self._kept[number]
                spent -= size


def image_table(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    image: str = "image",
    label: str = "label",
    kept_bytes: int = 2**31,
) -> TableImages:
    """The images of one split of a folder of Parquet or Arrow shards.

    A shard belongs to a split if its name, or that of its folder, begins with it: ``train-00000-of-00294.parquet``,
    ``train/data-00000-of-00010.arrow``. Labels are read here, images when they are asked for, a group at a time.

    Args:
        root: the folder, searched to any depth.
        split: "train" or "val" (or validation, valid).
        image: the column of the images: bytes, or a struct with the field ``bytes``.
        label: the column of the classes: whole numbers from 0.
        kept_bytes: see `TableImages`.

    Raises:
        InputError: pyarrow is not installed, no shard, shards missing from a numbered set (counted and named), a column
            that is not there, or labels that are not whole numbers from 0.
    """
    paths = shards(Path(root), split)
    if not paths:
        raise InputError(f"images need Parquet or Arrow shards of the split {split!r}; there are none in {root}.")
    found = [_readable(_described, path, path, image, label) for path in paths]
    labels = np.concatenate([labels for labels, _, _ in found])
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise InputError(f"column {label!r} must hold whole numbers from 0; got {labels.dtype} from {labels.min()}.")
    classes = found[0][2] or tuple(str(number) for number in range(int(labels.max()) + 1))
    if labels.max() >= len(classes):
        raise InputError(f"column {label!r} must hold classes below {len(classes)}; got {labels.max()}.")
    runs = [(Group(path, i), rows) for path, (_, sizes, _) in zip(paths, found, strict=True) for i, rows in sizes]
    kind = paths[0].suffix.removeprefix(".")
    provenance = f"Images of {split}: {len(labels):,} rows in {len(paths):,} {kind} shards, {len(classes):,} classes."
    groups, rows = zip(*runs, strict=True)
    return TableImages(labels, classes, np.array(rows), provenance, tuple(groups), image, kept_bytes)


def shards(root: Path, split: str) -> list[Path]:
    """The Parquet or Arrow files of a split, sorted; none where there are none.

    Raises:
        InputError: an unknown split, or a numbered set (``-00003-of-00010``) that is not complete.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    names = re.compile(rf"({'|'.join(SPLITS[split])})(?![a-z])", re.IGNORECASE)
    files = [path for kind in ("parquet", "arrow") for path in sorted(root.glob(f"**/*.{kind}"))]
    mine = [p for p in files if not p.name.startswith("cache-") and (names.match(p.name) or _in_folder(p, root, names))]
    mine = [path for path in mine if path.suffix == mine[0].suffix]
    numbered = [match for path in mine if (match := OF.search(path.name))]
    if numbered:
        total, there = int(numbered[0][2]), {int(match[1]) for match in numbered}
        absent = [f"{number:05d}-of-{total:05d}" for number in range(total) if number not in there]
        if absent:
            raise InputError(
                f"all {total} shards of {split} must be in {root}; {len(absent)} are missing: {shortened(absent)}."
            )
    return mine


def _in_folder(path: Path, root: Path, names: re.Pattern[str]) -> bool:
    return path.parent != root and names.match(path.parent.name) is not None


def _readable(read: Callable[..., Any], path: Path, *args: Any) -> Any:
    """``read(*args)``; pyarrow's own errors (all of them ValueError, OSError or KeyError) as one sentence."""
    try:
        return read(*args)
    except InputError:
        raise
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"shard {path} must be readable; got: {reason}") from error


def _described(path: Path, image: str, label: str) -> tuple[np.ndarray, list[tuple[int, int]], tuple[str, ...]]:
    """Labels, the groups (number, rows) that are not empty, and names of classes, of one shard."""
    shard, batches = None, []
    if path.suffix == ".parquet":
        shard = _pyarrow("pyarrow.parquet").ParquetFile(path)
        schema, meta = shard.schema_arrow, shard.metadata
        sizes = [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
    else:
        batches = _record_batches(path)
        schema, sizes = batches[0].schema, [batch.num_rows for batch in batches]
    for column in (image, label):
        if column not in schema.names:
            raise InputError(f"{path} must have a column {column!r}; it has {', '.join(schema.names)}.")
    labels = (
        shard.read(columns=[label])[label].to_numpy()
        if shard is not None
        else np.concatenate([batch[label].to_numpy(zero_copy_only=False) for batch in batches])
    )
    return labels, [(number, rows) for number, rows in enumerate(sizes) if rows], _names(schema.metadata, label)


def _images_of(group: Group, column: str) -> Any:
    """The column of one group as an Arrow array of bytes."""
    if group.path.suffix == ".parquet":
        shard = _pyarrow("pyarrow.parquet").ParquetFile(group.path)
        found = shard.read_row_group(group.number, columns=[column], use_threads=False)[column].combine_chunks()
    else:
        found = _record_batches(group.path)[group.number][column]
    fields = [one.name for one in found.type] if _pyarrow("pyarrow").types.is_struct(found.type) else []
    return found.field("bytes") if "bytes" in fields else found


def _record_batches(path: Path) -> list[Any]:
    """Of an Arrow file in either format, memory-mapped: nothing is read until it is used."""
    arrow = _pyarrow("pyarrow")
    source = arrow.memory_map(str(path))
    with path.open("rb") as stream:
        whole_file = stream.read(6) == b"ARROW1"
    if whole_file:
        reader = arrow.ipc.open_file(source)
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return list(arrow.ipc.open_stream(source))


def _names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """Of classes, as the Hugging Face library writes them into the schema; () where it did not."""
    features = json.loads((metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return tuple((features.get(label) or {}).get("names") or ())


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            "Parquet and Arrow images need the package pyarrow; `pip install precipice[images]` gets it."
        ) from None
