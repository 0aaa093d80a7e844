"""A study run on a Ray cluster: workers compute and commit blocks, the driver hands them out and keeps count."""

import contextlib
import functools
import time
from collections import Counter, deque
from collections.abc import Iterator

from precipice._checks import whole
from precipice.dynamics.progress import Progress, quiet
from precipice.results import CellStore, Status
from precipice.results.cell_files import block_name
from precipice.results.layout import Block
from precipice.studies import block as blocks_of
from precipice.studies import nodes
from precipice.studies.crew import Crew
from precipice.studies.local import (
    LEASE,
    POLL,
    Cells,
    Finished,
    Say,
    committed,
    described,
    ends,
    missing,
    num_done,
    silent,
    stored,
)
from precipice.studies.study import Study

ATTEMPTS = 3
"""Workers that may die over one block."""


def run_ray(
    study: Study,
    store: CellStore,
    *,
    num_workers: int | None = None,
    address: str | None = None,
    attempts: int = ATTEMPTS,
    progress: Progress = quiet,
    say: Say = silent,
    lease: float = LEASE,
) -> Finished:
    """Compute every block that is missing on a Ray cluster, each by `run_local`'s own code in a worker.

    A worker is a process that computes with the threads that the store's key names (``open_study(..., threads=1)``),
    so that its results are those of `run_local` in a process of that many threads, bit for bit. It has one block in
    flight. When it dies, another takes its place and the block is computed again, after all others; a block over which
    `attempts` workers died is committed as failed, with a line that says so. Any number of drivers, local ones too,
    may work on one store at once.

    The study's functions are imported by the workers from where the driver imports them; those of a script or of a
    notebook are sent along.

    Args:
        study: what to compute, as the store was made for.
        store: of it, in a folder that all nodes see.
        num_workers: at most; None: as many as the cluster has cores or accelerators for.
        address: of a cluster to join, as `ray.init` takes it; None: the cluster that this process is connected to, or
            a new one on this machine that ends with the call.
        attempts: workers that may die over one block.
        progress: a display of cells that are done.
        say: told which workers died, and what others are waited for.
        lease: seconds, see `CellStore.claim`.

    Cost: starting a cluster and its workers, some 6 s on two free cores; then a few ms a block.

    Raises:
        InputError: Ray is not installed or a cluster not there; a worker cannot import the study, does not see the
            store, or would compute other bits than the key promises; no node has the cores or the accelerator.
        WriteError: the disk refused; what was committed is kept.
        StoreError: the store was extended meanwhile.
    """
    whole("attempts", attempts, 1)
    if num_workers is not None:
        whole("num_workers", num_workers, 1)
    started, num_left = time.monotonic(), len(missing(store))
    blocks, cells, before = 0, Counter[Status](), num_done(store)
    if not num_left:
        return Finished(blocks, cells, 0.0)
    with progress(study.name, study.num_cells) as report:
        report(before, "starting Ray")
        with nodes.connected(num_workers, address, store.layout.key["threads"]) as ray, nodes.quiet(ray):
            num = min(nodes.num_workers(ray, num_workers, store), num_left)
            crew = Crew(ray, nodes.hire(ray, study, store, lease), num, attempts)
            with contextlib.closing(crew):
                for found in _rounds(crew, store, attempts, lease, say):
                    blocks += bool(found)
                    cells.update(found)
                    report(before + sum(cells.values()), _text(cells, crew))
    return Finished(blocks, cells, time.monotonic() - started)


def _text(cells: Cells, crew: Crew) -> str:
    return ", ".join(filter(None, [f"{crew.num_open} workers", described(cells)]))


# Blocks ---------------------------------------------------------------------------------------------------------------


def _rounds(crew: Crew, store: CellStore, attempts: int, lease: float, say: Say) -> Iterator[Cells]:
    """How the cells of each block ended that we have committed; empty now and then, while we wait."""
    deaths, waiting = Counter[Block](), False
    while left := missing(store):
        idle = True
        for found in _round(crew, store, deque(left), deaths, attempts, lease, say):
            idle = idle and not found
            yield found
        if idle:
            if not waiting:
                say(f"waiting for {len(left)} blocks that other processes compute")
                waiting = True
            time.sleep(POLL)


def _round(
    crew: Crew, store: CellStore, todo: deque[Block], deaths: Counter[Block], attempts: int, lease: float, say: Say
) -> Iterator[Cells]:
    """Each block once, and again as long as workers die over it."""
    while todo or crew.num_busy:
        while todo and (crew.num_free or deaths[todo[0]] >= attempts):
            block = todo.popleft()
            if deaths[block] < attempts:
                crew.give(block)
            else:
                yield _given_up(store, block, attempts, lease)
        yield Counter()
        for outcome in crew.wait(POLL):
            if not outcome.died:
                yield outcome.cells or Counter()
            elif outcome.block in store.done():  # after its commit
                yield ends(stored(store, outcome.block).status)
            else:
                deaths[outcome.block] += 1
                todo.append(outcome.block)
                say(f"a worker died over block {block_name(outcome.block)} ({deaths[outcome.block]} of {attempts})")


def _given_up(store: CellStore, block: Block, attempts: int, lease: float) -> Cells:
    """The block committed as failed, once it is ours: the claim of a worker on another node has to run out."""
    message = f"WorkerDied: {attempts} workers died over this block, killed or out of memory"
    if not store.claim(block, lease):
        return Counter()
    found = committed(store, block, functools.partial(blocks_of.failed, store.layout, message=message), lease)
    return Counter() if found is None else ends(found.status)
