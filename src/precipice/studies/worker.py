"""A worker of a cluster: it opens the store, computes blocks one at a time, and keeps its compiled program.

Nothing here knows Ray: `cluster.py` makes `Worker` an actor, a process of its own with two threads, one of which
computes while the other is free to hear `stop`.
"""

import pickle
import sys
from typing import TYPE_CHECKING, NamedTuple

from precipice._checks import InputError, one_line
from precipice.results import CellStore, StoreError
from precipice.results.atomic import host
from precipice.results.layout import Block
from precipice.studies.block import Compute, computer
from precipice.studies.local import Cells, committed, ends

if TYPE_CHECKING:
    from precipice.studies.study import Study


class Parcel(NamedTuple):
    """What every worker is sent.

    Args:
        name: of the study.
        study: pickled.
        path: of its store, on a file system that all nodes share.
        lease: seconds, see `CellStore.claim`.
        imports: where the driver imports modules from (`sys.path`), in order.
    """

    name: str
    study: bytes
    path: str
    lease: float
    imports: list[str]


class Worker:
    """Computes blocks of one study.

    Args:
        parcel: what to work on. Nothing is done with it before `open`, whose errors reach the driver as they are.
    """

    def __init__(self, parcel: Parcel):
        self._parcel = parcel
        self._opened: tuple[CellStore, Compute] | None = None
        self._block: Block | None = None

    def open(self) -> None:
        """Import the study's modules and open its store.

        Raises:
            InputError: a module or the store is not to be found from here, or this machine or its libraries would
                compute other bits than the store's key promises.
        """
        parcel = self._parcel
        sys.path[:] = [*parcel.imports, *(folder for folder in sys.path if folder not in parcel.imports)]
        try:
            study: Study = pickle.loads(parcel.study)
        except Exception as error:
            raise InputError(
                f"Study {parcel.name!r} must be importable by its workers; on {host()}: {one_line(error)}."
            ) from None
        try:
            store = CellStore(parcel.path)
        except StoreError as error:
            raise InputError(f"Every node must see the same store; on {host()}: {error}") from None
        self._opened = store, computer(study, store.layout)

    def compute(self, block: Block) -> Cells | None:
        """Claim, compute and commit a block: how its cells ended; None if it is done, or another computes it.

        Raises:
            WriteError: the disk refused.
            StoreError: the store was extended since it was opened.
        """
        if self._opened is None:
            raise RuntimeError("open comes first")
        store, compute = self._opened
        if not store.claim(block, self._parcel.lease):
            return None
        self._block = block
        try:
            found = committed(store, block, compute, self._parcel.lease)
        finally:
            self._block = None
        return None if found is None else ends(found.status)

    def stop(self) -> None:
        """Give the claim back on the block in flight: this process is about to be killed."""
        if self._opened is not None and self._block is not None:
            self._opened[0].release(self._block)
