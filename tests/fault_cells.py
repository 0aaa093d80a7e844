"""Faults of cells: one that raises, diverges, never converges, or needs more memory than there is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from fault_server import Server
from fault_trial import Row
from precipice.results import CellStore, Status, StopReason
from precipice.studies import Axis, Finished, Study, counted, run_local
from precipice.studies.stores import create

LRS = (0.1, 0.2, 0.3, 0.4, 0.5)
BAD = 0.3
BUDGET = 1000


def settling(key: Any, *, lr: Any, seed: Any, harm: str) -> dict[str, Any]:
    """Descent on x^2 / 2 until |x| < 1e-6 or the budget is spent; `harm` befalls the cells with lr = BAD."""
    bad = lr == BAD
    if harm == "raise":
        lr = eqx.error_if(lr, bad, "the step is too long")
    if harm == "raise by hand" and bad:
        raise ValueError("the step is too long")
    factor = 1 - jnp.where(bad, 5.0, lr) if harm == "diverge" else 1 - lr
    tolerance = jnp.where(bad, -1.0, 1e-6) if harm == "never" else 1e-6

    def unfinished(state: Any) -> Any:
        return (jnp.abs(state[0]) >= tolerance) & (state[1] < BUDGET)

    x, steps = jax.lax.while_loop(unfinished, lambda s: (factor * s[0], s[1] + 1), (jax.random.normal(key), 0))
    spent = jnp.where(steps < BUDGET, StopReason.ACCURACY_REACHED, StopReason.STEPS_SPENT)
    return {"final_loss": x**2 / 2, "stop_reason": spent}


def summing(key: Any, *, size: int, lr: Any) -> dict[str, Any]:
    """A run that needs eight bytes for each unit of `size`."""
    return {"final_loss": jnp.sum(jax.random.uniform(key) * jnp.arange(size, dtype=float)[::-1].at[3].set(lr))}


def raising(folder: Path, server: Server, times: int) -> Row:
    """A cell that raises within a compiled program; the cells at fault are found by halves."""
    return _harmed(folder, times, "raise", "cell that raises in a compiled program", Status.FAILED)


def raising_by_hand(folder: Path, server: Server, times: int) -> Row:
    """A cell that raises in a study that is not traced."""
    return _harmed(folder, times, "raise by hand", "cell that raises, driven from the host", Status.FAILED)


def diverging(folder: Path, server: Server, times: int) -> Row:
    """A cell whose numbers overflow."""
    return _harmed(folder, times, "diverge", "cell that diverges", Status.DIVERGED)


def never_converging(folder: Path, server: Server, times: int) -> Row:
    """A cell that never reaches its accuracy, and ends when its budget is spent."""
    return _harmed(folder, times, "never", "cell that never converges", Status.DONE)


def out_of_memory(folder: Path, server: Server, times: int) -> Row:
    """A cell that needs 80 TB."""
    folder = folder / "memory"
    folder.mkdir(exist_ok=True)
    bad, good = (_summed(folder / f"{last}", last) for last in (10**13, 7))
    (store, ran), others = bad, good[0].dataset()["final_loss"].values[0]
    same = store.dataset()["final_loss"].values[0].tobytes() == others.tobytes()
    same &= bool((store.statuses() == [[Status.DONE] * 5, [Status.FAILED] * 5]).all())
    said = store.failures()[1, 0]
    return Row("cell that needs more memory than there is", "5 cells of 10", 0, _again(ran, store), 0, same, said)


def _summed(path: Path, last: int) -> tuple[CellStore, Finished]:
    study = Study("memory", summing, (Axis("size", (10, last), splits=True), Axis("lr", LRS)), ("final_loss",))
    with jax.enable_x64(True):
        store = create(study, path, {"size": 1, "lr": 5})
        return store, run_local(study, store)


def _harmed(folder: Path, times: int, harm: str, fault: str, end: Status) -> Row:
    """One study with the harm, one without: equal cells but for those with lr = BAD, which end as they should."""
    folder = folder / harm.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    by_hand = "hand" in harm
    (store, ran), (good, _) = (_settled(folder / f"{h or 'good'}", h, by_hand=by_hand) for h in (harm, ""))
    rest = [i for i, lr in enumerate(LRS) if lr != BAD]
    found, expected = store.dataset().load(), good.dataset().load()
    same = all(found[n].values[rest].tobytes() == expected[n].values[rest].tobytes() for n in expected.data_vars)
    same &= bool((found["status"].values[LRS.index(BAD)] == end).all())
    return Row(fault, "4 cells of 20", 0, _again(ran, store), 0, same, _said(store, found))


def _settled(path: Path, harm: str, *, by_hand: bool) -> tuple[CellStore, Finished]:
    variables, axes = ("final_loss", "stop_reason"), (Axis("lr", LRS), counted("seed", 4))
    study = Study("settling", settling, axes, variables, {"harm": harm}, traced=not by_hand)
    with jax.enable_x64(True):
        store = create(study, path, {"lr": 5, "seed": 2})
        return store, run_local(study, store)


def _again(ran: Finished, store: CellStore) -> int:
    """Cells that were committed more than once, and cells that a second run would compute."""
    missing = len(store.blocks()) - len(store.done())
    return sum(ran.cells.values()) - store.statuses().size + missing


def _said(store: CellStore, found: Mapping[Any, Any]) -> str:
    """What is on record of the first harmed cell."""
    cell = (LRS.index(BAD), 0)
    status = Status(int(found["status"].values[cell]))
    if status is Status.FAILED:
        return f"status failed: {store.failures()[cell]}"
    reason = StopReason(int(found["stop_reason"].values[cell]))
    return f"status {status.name.lower()}, stop_reason {reason.name.lower()}"
