"""``precipice study``: a grid of runs, planned, computed, continued, extended."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from precipice._checks import InputError, one_of, whole
from precipice.cli import planned, text
from precipice.cli.options import Assignments, Data, Size
from precipice.cli.status import Exit, reported

if TYPE_CHECKING:
    from precipice.results import CellStore
    from precipice.studies import Finished, Opened, Study

MANY_CELLS = 10_000_000
"""Above so many cells a study asks for --yes."""

_RUNNERS = ("local", "ray")


@reported
def study(
    word: Annotated[str, typer.Argument(metavar="FILE|ID", help="A study file (.toml), or a paper's study by its id.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The study's store. [default: out/NAME.zarr]", show_default=False),
    ] = None,
    scale: Size = "quick",
    assignments: Assignments = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    limit_memory: Annotated[
        str | None,
        typer.Option(
            "--limit-memory",
            metavar="SIZE",
            help="What a block in flight may take, as 512MiB or 2GiB; by default half of what is free.",
            show_default=False,
        ),
    ] = None,
    block_seconds: Annotated[
        float, typer.Option("--block-seconds", metavar="S", help="What a block should take.")
    ] = 5.0,
    on: Annotated[str, typer.Option("--on", metavar="local|ray", help="Where to run.")] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="With --on ray: processes.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST", help="With --on ray: the cluster to join.", show_default=False),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry-failed", help="Compute failed cells again.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Check every file; compute blocks anew whose files are damaged.")
    ] = False,
    extend: Annotated[
        list[str] | None,
        typer.Option("--extend", metavar="AXIS=V,V", help="Add values to an axis; what is done is kept."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run functions from outside precipice that the file names.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=f"Run more than {MANY_CELLS:,} cells.")] = False,
    data: Data = None,
) -> None:
    """Run a study: every combination of its axes' values, in blocks that are committed as they finish.

    Rerun the same command to continue: what is done is neither lost nor computed again.
    Several such commands may work on one store at once. `precipice status DIR` shows it.

    Exit status 0: all cells are computed, failed and diverged ones labelled.
    1: a claim of the study fails, or the disk refused.
    2: bad input.
    """
    one_of("--on", on, _RUNNERS)
    if dry_run and (extend or retry or repair):
        raise InputError("--dry-run must stand without --extend, --retry-failed and --repair; got one of them.")
    if workers is not None:
        whole("--workers", workers, 1)
    if on == "ray" and retry:
        raise InputError(
            "--retry-failed must run locally, with the threads of the store's key (NPROC=1); got --on ray."
        )
    if on == "local" and (workers or address):
        raise InputError("--workers and --address must come with --on ray; got --on local.")
    limit = None if limit_memory is None else planned.bytes_of(limit_memory)
    added = dict(_added(one) for one in extend or [])
    declared = _declared(word, scale, assignments or [], data, trust)
    _check_size(declared, added, yes)
    target = out or Path("out") / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', declared.name)}.zarr"
    if dry_run:
        _dry_run(declared, target, limit, block_seconds)
        return
    opened = _opened(declared, target, added, limit, block_seconds, _threads(target, on))
    if repair:
        _forget_damaged(opened.store)
    finished = _run(opened, on, workers, address, retry)
    raise typer.Exit(_report(opened, target, finished))


def _added(assignment: str) -> tuple[str, list[float]]:
    name, _, values = assignment.partition("=")
    try:
        return name, [_number(part) for part in values.split(",")]
    except ValueError:
        raise InputError(f"--extend must be AXIS=VALUE,VALUE with numbers; got {assignment!r}.") from None


def _number(word: str) -> float:
    try:
        return int(word)
    except ValueError:
        return float(word)


def _declared(word: str, scale: str, assignments: Sequence[str], data: Path | None, trust: bool) -> "Study":
    """The study that the word names, with changed settings."""
    import dataclasses

    from precipice.papers.settings import changed_values
    from precipice.studies import load

    if not (word.endswith(".toml") or Path(word).exists()):
        from precipice.papers import studies as of_papers

        return of_papers.study(word, scale, data, assignments)
    found = load(Path(word), trust=trust)
    return dataclasses.replace(found, settings=changed_values(found.settings, assignments))


def _check_size(declared: "Study", added: dict[str, list[float]], yes: bool) -> None:
    cells = declared.num_cells
    for axis in declared.axes:
        cells = cells // len(axis) * (len(axis) + len(added.get(axis.name, ())))
    if cells > MANY_CELLS and not yes:
        raise InputError(f"A study of more than {MANY_CELLS:,} cells must be confirmed by --yes; got {cells:,} cells.")


def _dry_run(declared: "Study", target: Path, limit: int | None, block_seconds: float) -> None:
    from precipice.studies import plan, stores

    if stores.is_there(target):
        declared, store = stores.reopen(declared, target, _threads(target, "local"))
        done = len(store.done())
        text.lines([("store", target), ("blocks", f"{done:,} of {len(store.blocks()):,} done")])
        return
    stores.refuse_other(target)
    text.lines(planned.rows(declared, plan(declared, limit_memory=limit, block_seconds=block_seconds)))


def _threads(target: Path, on: str) -> int | None:
    """Threads of each process: those of the store's key; in a new one, one a worker on Ray, else this process's."""
    from precipice.results import CellStore
    from precipice.studies import stores

    if stores.is_there(target):
        return CellStore(target).layout.key["threads"]
    return 1 if on == "ray" else None


def _opened(
    declared: "Study",
    target: Path,
    added: dict[str, list[float]],
    limit: int | None,
    block_seconds: float,
    threads: int | None,
) -> "Opened":
    from precipice.results import check_writable
    from precipice.studies import Opened, open_study, stores

    check_writable(target.parent)
    if added:
        if not stores.is_there(target):
            raise InputError(f"--extend must name a store that is there; '{target}' is none.")
        return Opened(*stores.extend(declared, target, added, threads), None)
    if not stores.is_there(target):
        stores.refuse_other(target)
        text.note("measuring a few cells to plan the blocks")
    opened = open_study(declared, target, limit_memory=limit, block_seconds=block_seconds, threads=threads)
    if opened.plan is None:
        done = len(opened.store.done())
        text.note(f"continuing {target}: {done:,} of {len(opened.store.blocks()):,} blocks are done")
    else:
        for name, value in planned.rows(declared, opened.plan):
            text.note(f"{name:<9}{value}")
    return opened


def _forget_damaged(store: "CellStore") -> None:
    """Make the damaged blocks of a store missing, each with a line that says what was wrong."""
    for block, sentence in store.damaged().items():
        store.forget(block)
        text.note(sentence.partition(";")[0] + "; it is computed again.")


def _run(opened: "Opened", on: str, workers: int | None, address: str | None, retry: bool) -> "Finished":
    from precipice.cli.display import display
    from precipice.studies import retry_failed, run_local

    with display() as shown:
        if on == "ray":
            from precipice.studies import run_ray

            found = run_ray(
                opened.study,
                opened.store,
                num_workers=workers,
                address=address,
                progress=shown.progress,
                say=shown.say,
            )
        else:
            found = run_local(opened.study, opened.store, progress=shown.progress, say=shown.say)
        if retry:
            found = retry_failed(opened.study, opened.store, progress=shown.progress)
    return found


def _report(opened: "Opened", target: Path, finished: "Finished") -> Exit:
    from precipice.cli.grid import counts
    from precipice.figures.claims import FAILS, evaluate

    store: CellStore = opened.store
    text.lines(
        [
            ("store", target),
            *counts(store.statuses()),
            ("computed", f"{sum(finished.cells.values()):,} cells in {finished.blocks:,} blocks, now"),
            ("time", f"{finished.seconds:.1f} s"),
        ]
    )
    if not opened.study.claims:
        return Exit.DONE
    verdicts = evaluate(store.dataset().load(), opened.study.claims)
    text.claims(verdicts, opened.study.name)
    text.failures(verdicts)
    return Exit.FAILED if FAILS in {verdict.verdict for verdict in verdicts} else Exit.DONE
