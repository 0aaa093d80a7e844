"""A study run in this process: blocks in turn, each claimed, computed and committed."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from precipice.dynamics.progress import Progress, Report, quiet
from precipice.results import CellStore, Status
from precipice.results.layout import STATUS, Block
from precipice.studies.block import Compute, Computed, computer
from precipice.studies.study import Study

LEASE = 60.0
"""Seconds after which the claim of a process elsewhere that fell silent may be taken over."""

POLL = 0.5
"""Seconds between two looks at what others do."""

Say = Callable[[str], None]

Cells = Counter[Status]
"""How many cells ended how."""


def silent(text: str) -> None:
    """Say nothing."""


class Finished(NamedTuple):
    """What a run of a study did.

    Args:
        blocks: committed by this run.
        cells: computed and committed by this run, by how they ended.
        seconds: it took.
    """

    blocks: int
    cells: Cells
    seconds: float


def run_local(
    study: Study,
    store: CellStore,
    *,
    progress: Progress = quiet,
    say: Say = silent,
    lease: float = LEASE,
) -> Finished:
    """Compute every block that is missing, in order; blocks that others claim are waited for in the end.

    Any number of processes may do so for one store at once. What is committed stays, whatever happens later: killed or
    interrupted at any moment, the same call continues, and only the block in flight is computed again.

    Args:
        study: what to compute, as the store was made for.
        store: see `stores.create`.
        progress: a display of cells that are done.
        say: told what others are waited for.
        lease: seconds, see `CellStore.claim`; renewed while a block is computed.

    Raises:
        WriteError: the disk refused; what was committed is kept.

    Example:
        >>> import tempfile
        >>> from precipice.studies.axes import Axis
        >>> from precipice.studies.stores import create
        >>> def halving(key, *, lr):
        ...     return {"final_loss": (1 - lr) ** 2}
        >>> study = Study("halving", halving, (Axis("lr", (0.5, 0.75)),), ("final_loss",))
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = create(study, folder.name + "/halving", {"lr": 2})
        >>> run_local(study, store).blocks
        1
        >>> store.dataset()["final_loss"].values
        array([0.25  , 0.0625])
        >>> folder.cleanup()
    """
    started = time.monotonic()
    blocks, cells, before = 0, Counter[Status](), num_done(store)
    if before == study.num_cells:
        return Finished(blocks, cells, 0.0)
    compute = computer(study, store.layout)
    with progress(study.name, study.num_cells) as report:
        report(before, "")
        for block in _to_do(store, lease, report, say):
            found = committed(store, block, compute, lease)
            if found is not None:
                blocks += 1
                cells.update(ends(found.status))
                report(before + sum(cells.values()), described(cells))
    return Finished(blocks, cells, time.monotonic() - started)


def retry_failed(study: Study, store: CellStore, *, progress: Progress = quiet) -> Finished:
    """Compute the blocks again that hold failed cells; of these, the failed cells are replaced, the others kept.

    In a study that is not traced, the failed cells alone are computed.

    Raises:
        WriteError: the disk refused; what was committed is kept.
    """
    started, failed = time.monotonic(), store.failures()
    compute = computer(study, store.layout, only=failed.keys())
    chunk = store.layout.chunk_shape
    blocks = sorted({tuple(i // c for i, c in zip(cell, chunk, strict=True)) for cell in failed})
    cells = Counter[Status]()
    with progress(f"{study.name}, failed cells", len(failed)) as report:
        for block in blocks:
            before = stored(store, block)
            merged = merge(before, compute(block), Status.FAILED)
            store.commit(block, merged.values, merged.status, merged.messages, replace=True)
            cells.update(ends(merged.status[before.status == Status.FAILED]))
            report(sum(cells.values()), described(cells))
    return Finished(len(blocks), cells, time.monotonic() - started)


def committed(store: CellStore, block: Block, compute: Compute, lease: float) -> Computed | None:
    """Compute a block that we have claimed and commit it; None if another was faster.

    Whatever is raised on the way gives the claim back.
    """
    try:
        with renewed(store, block, lease):
            found = compute(block)
        return found if store.commit(block, found.values, found.status, found.messages) else None
    except BaseException:
        with contextlib.suppress(Exception):
            store.release(block)
        raise


@contextlib.contextmanager
def renewed(store: CellStore, block: Block, lease: float) -> Iterator[None]:
    """Keep our claim on a block alive, from a thread, while the body runs."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(lease / 4):
            with contextlib.suppress(Exception):  # a disk that refuses is reported by the commit
                store.renew(block)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def stored(store: CellStore, block: Block) -> Computed:
    """What a store holds of a block."""
    layout, where = store.layout, store.cells(block)
    part = store.dataset().isel(dict(zip(layout.axes, where, strict=True))).load()
    values = {v.name: part[v.name].to_numpy() for v in layout.variables}
    return Computed(values, part[STATUS].to_numpy(), store.failures([block]))


def merge(before: Computed, after: Computed, status: Status) -> Computed:
    """The cells of `after` where `before` has this status, the cells of `before` elsewhere."""
    new = before.status == status
    values = {n: np.where(_wide(new, v.ndim), after.values[n], v).astype(v.dtype) for n, v in before.values.items()}
    ended = np.where(new, after.status, before.status).astype(np.int8)
    kept = {c: m for c, m in before.messages.items() if status != Status.FAILED}
    fresh = {c: m for c, m in after.messages.items() if status != Status.FAILED or c in before.messages}
    return Computed(values, ended, fresh | kept)


def _wide(mask: np.ndarray, ndim: int) -> np.ndarray:
    return mask.reshape(*mask.shape, *[1] * (ndim - mask.ndim))


def ends(status: np.ndarray) -> Cells:
    """How many of these cells ended how."""
    codes, counts = np.unique(status, return_counts=True)
    return Counter({Status(int(code)): int(n) for code, n in zip(codes, counts, strict=True)})


def described(cells: Cells) -> str:
    """Counts in words, the uneventful ones left out.

    Example:
        >>> described(Counter({Status.DONE: 5, Status.FAILED: 1}))
        '1 failed'
    """
    return ", ".join(f"{cells[s]} {s.name.lower()}" for s in (Status.DIVERGED, Status.FAILED) if cells[s])


def num_done(store: CellStore) -> int:
    """Cells in committed blocks."""
    layout = store.layout
    return sum(int(np.prod(layout.block_shape(block))) for block in store.done())


def _to_do(store: CellStore, lease: float, report: Report, say: Say) -> Iterator[Block]:
    """Blocks that we have just claimed, until all are done."""
    waiting = False
    while left := missing(store):
        idle = True
        for block in left:
            if store.claim(block, lease):
                idle = False
                yield block
        if idle:
            if not waiting:
                say(f"waiting for {len(left)} blocks that other processes compute")
                waiting = True
            report(num_done(store), "waiting for other processes")
            time.sleep(POLL)


def missing(store: CellStore) -> list[Block]:
    """The blocks that are not committed, in order."""
    done = store.done()
    return [block for block in store.blocks() if block not in done]
