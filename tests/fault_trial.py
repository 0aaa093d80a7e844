"""A study to which something is done: what was begun and committed, what is there, what was said."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fault_server import CELLS, Server, names
from precipice import results


class Row(NamedTuple):
    """One line of the table.

    Args:
        fault: what was done.
        tried: how often, and what it met.
        lost: cells that were committed and then missing.
        recomputed: cells computed more than once.
        allowed: cells that may be: those in flight, and those whose block was damaged.
        same: whether the final dataset equals, bit for bit, that of an undisturbed run.
        said: what the user was told, one line.
    """

    fault: str
    tried: str
    lost: int
    recomputed: int
    allowed: int
    same: bool
    said: str

    @property
    def passed(self) -> bool:
        """Nothing lost, no more computed again than may be, equal bits, one line said."""
        kept = not self.lost and 0 <= self.recomputed <= self.allowed and self.same
        return kept and bool(self.said) and "\n" not in self.said


NOTHING = "nothing: no error, the next run continues"


def fingerprint(dataset: Any) -> str:
    """SHA-256 of the names, types and bits of all arrays."""
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        array = np.ascontiguousarray(dataset[name].to_numpy())
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


class Trial:
    """One folder in which something is done to a study of `num` learning rates (`fault_server.study`)."""

    def __init__(self, folder: Path, server: Server, num: int):
        folder.mkdir(parents=True)
        self.folder, self.server, self.num, self.path = folder, server, num, folder / "store"
        self._lost: set[str] = set()

    def finish(self, **order: Any) -> int:
        """Run to the end, or to an error; how it ended."""
        return self.server.wait(self.server.start(self.folder, self.num, path=self.path, **order))

    def said(self) -> str:
        """What was said in errors, from now on nothing."""
        path = self.folder / "said"
        text = path.read_text().strip() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text.replace(str(self.path), "DIR").replace(str(self.folder), "DIR")

    def done(self) -> list[str]:
        """The blocks that were committed, by the drivers' log."""
        return names(self.folder / "log", "done") if (self.folder / "log").exists() else []

    def check(self) -> None:
        """Note which blocks that were committed are there no more."""
        if (self.path / "zarr.json").exists():
            store = results.CellStore(self.path)
            self._lost |= set(self.done()) - {".".join(map(str, block)) for block in store.done()}
            store.verify()

    def row(self, fault: str, tried: str, allowed: int, said: str) -> Row:
        """The line, once the study is complete."""
        self.check()
        store = results.CellStore(self.path)
        begun = names(self.folder / "log", "begin")
        again = CELLS * (len(begun) - len(store.blocks()))
        same = fingerprint(store.dataset()) == undisturbed(self.folder.parent, self.server, self.num)
        return Row(fault, tried, CELLS * len(self._lost), again, CELLS * allowed, same, said)


def undisturbed(folder: Path, server: Server, num: int) -> str:
    """The fingerprint of a run that nothing was done to."""
    path = folder / f"undisturbed-{num}"
    if not path.exists():
        path.mkdir()
        assert server.wait(server.start(path, num)) == 0
    return fingerprint(results.CellStore(path / "store").dataset())


def summed(rows: list[Row], tried: str) -> Row:
    """The same fault tried several times, as one line."""
    cost = [sum(getattr(row, name) for row in rows) for name in ("lost", "recomputed", "allowed")]
    return Row(rows[0].fault, tried, *cost, same=all(row.same for row in rows), said=rows[-1].said)
