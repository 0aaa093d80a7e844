"""Training watched from the host: compiled blocks of steps, probes on a schedule, stops, checkpoints."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from precipice._checks import InputError, NonFiniteError, at_least
from precipice._types import PRNGKey, Tracker
from precipice.dynamics.advance import advance, advance_once, all_finite
from precipice.dynamics.checkpoints import AbstractCheckpoint, CheckpointFile, Journey
from precipice.dynamics.feed import Feed, fed, fed_block
from precipice.dynamics.process import AbstractProcess, State
from precipice.dynamics.progress import Progress, Report, bar
from precipice.dynamics.simulate import Probe, check_schedule, measured
from precipice.dynamics.stops import Stop
from precipice.results import Status, StopReason


class Training(NamedTuple):
    """What a training left behind.

    Args:
        saved: probe and tracker results, each with a leading axis of probed steps.
        probe_step: the steps at which they were taken.
        loss: the loss before each step taken.
        state: the final state; the last finite one if the run diverged.
        status: `results.Status.DONE` or `DIVERGED`.
        stop_reason: why it ended.
        diverged_at: the step that would have made a parameter non-finite, or at which curvature overflowed when it was
            measured; -1 if neither happened.
    """

    saved: dict[str, np.ndarray]
    probe_step: np.ndarray
    loss: np.ndarray
    state: State
    status: Status
    stop_reason: StopReason
    diverged_at: int


def train(
    process: AbstractProcess,
    *,
    key: PRNGKey,
    num_steps: int,
    every: int,
    probes: Sequence[Probe] = (),
    trackers: Sequence[Tracker] = (),
    stops: Sequence[Stop] = (),
    checkpoint: Path | AbstractCheckpoint | None = None,
    checkpoint_seconds: float = 20.0,
    fingerprint: str = "",
    title: str = "training",
    progress: Progress = bar,
    block: int | None = None,
    feed: Feed | None = None,
) -> Training:
    """Run `process` for up to `num_steps` steps, measuring at steps 0, every, 2 every, ...

    Steps are taken in compiled blocks; what is measured, how often, and whether the run was killed and resumed, changes
    no bit of the trajectory on the same machine, thread count and JAX version. Nor does the length of the blocks where
    XLA compiles a step within a loop as it does alone (not so for convolutions on a CPU): keep it to keep every bit.

    Args:
        process: what moves.
        key: for the first state.
        num_steps: the most steps; a multiple of `every`.
        every: steps between measurements; also the granularity at which `stops` are asked.
        probes: functions from a state to named arrays; compiled.
        trackers: measurements with a memory, run from the host (`measures.track_hessian`).
        stops: see `stops.py`.
        checkpoint: what to keep the run in, a file's path or a `CheckpointFolder`: written every `checkpoint_seconds`,
            and read first if it exists.
        checkpoint_seconds: 0 writes one at every measurement.
        fingerprint: what the run is (a hash of its settings); a checkpoint of another one is refused.
        title: for the display.
        progress: `progress.bar` or `progress.quiet`.
        block: steps compiled as one, after which the display and the clock of checkpoints are looked at; a divisor of
            `every`, by default `every` itself. Give less where `every` takes minutes, and 1, which is no loop, for
            convolutional networks on a CPU: they are then 2 to 4 times faster (design/training.md).
        feed: ``feed(step) -> data`` of that step, such as a `problems.ImageStream`, in place of the data of the
            process's problem, for data that do not fit into memory: the process takes each batch for all its data.

    Raises:
        InputError: schedule or names do not fit; the start or its curvature is not finite; the checkpoint belongs to
            another run.
    """
    check_schedule(num_steps, every)
    block = _checked_block(block, every)
    kept = CheckpointFile(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    process = process if feed is None else fed(process, feed(0))
    journey = _begun(process, key, trackers, kept, fingerprint)
    last = time.monotonic()
    with progress(title, num_steps) as report:
        while True:
            if journey.alive and int(journey.state.step) % every == 0 and not _is_measured(journey):
                journey = _measured(journey, probes, trackers)
            reason = _ended(journey, stops, num_steps)
            _tell(report, journey)
            if kept is not None and (reason or time.monotonic() - last >= checkpoint_seconds):
                kept.store(journey, fingerprint)
                last = time.monotonic()
            if reason:
                return _finished(journey, reason)
            if feed is None:
                journey = _block(process, journey, block, every)
            else:
                journey = fed_block(process, journey, every if block is None else block, feed)
            if not journey.alive:
                if kept is not None:
                    kept.store(journey, fingerprint)
                return _finished(journey, StopReason.DIVERGED)


def _checked_block(block: int | None, every: int) -> int | None:
    if block is not None:
        at_least("block", block, 1)
        if every % block:
            raise InputError(f"block must divide every ({every}); got {block}.")
    return block


def _is_measured(journey: Journey) -> bool:
    """Whether the last measurement is of the present step."""
    return bool(journey.records) and int(journey.records[-1]["probe_step"]) == int(journey.state.step)


def _begun(
    process: AbstractProcess,
    key: PRNGKey,
    trackers: Sequence[Tracker],
    kept: AbstractCheckpoint | None,
    fingerprint: str,
) -> Journey:
    state = eqx.filter_jit(process.init)(key)
    if not bool(all_finite(state.params)):
        raise InputError("parameters must be finite at the start of a training; got NaN or inf.")
    fresh = Journey(state, True, tuple(t.init(state) for t in trackers), [], [])
    return kept.restore(fresh, fingerprint) if kept is not None and kept.exists() else fresh


_compiled_probes = eqx.filter_jit(measured)


def _measured(journey: Journey, probes: Sequence[Probe], trackers: Sequence[Tracker]) -> Journey:
    """`journey` with one more measurement; no longer alive where curvature overflows at parameters still finite."""
    try:
        return _measure(journey, probes, trackers)
    except NonFiniteError:
        if not journey.records:  # the start itself, or the data
            raise
        return journey._replace(alive=False)


def _measure(journey: Journey, probes: Sequence[Probe], trackers: Sequence[Tracker]) -> Journey:
    values: dict[str, Any] = {"probe_step": int(journey.state.step)}
    values |= {name: np.asarray(value) for name, value in _compiled_probes(tuple(probes), journey.state).items()}
    memories = []
    for tracker, memory in zip(trackers, journey.memories, strict=True):
        found, memory = tracker.update(journey.state, memory)
        if repeated := sorted(found.keys() & values.keys()):
            raise InputError(f"each name must come from one probe or tracker; {repeated[0]!r} comes from two.")
        values |= {name: np.asarray(value) for name, value in found.items()}
        memories.append(memory)
    return journey._replace(memories=tuple(memories), records=[*journey.records, values])


@eqx.filter_jit
def _compiled_block(process: AbstractProcess, state: State, alive: jax.Array, num_steps: int):
    return advance(process, state, alive, num_steps)


_compiled_step = eqx.filter_jit(advance_once)


def _block(process: AbstractProcess, journey: Journey, block: int | None, every: int) -> Journey:
    before, moving = int(journey.state.step), jnp.array(True)
    if block == 1:
        state, alive, losses = _compiled_step(process, journey.state, moving)
    else:
        state, alive, losses = _compiled_block(process, journey.state, moving, every if block is None else block)
    taken = int(state.step) - before + (0 if alive else 1)
    losses = np.ravel(np.asarray(losses))[:taken]
    return journey._replace(state=state, alive=bool(alive), losses=[*journey.losses, losses])


def _ended(journey: Journey, stops: Sequence[Stop], num_steps: int) -> StopReason | None:
    if not journey.alive:
        return StopReason.DIVERGED
    values = dict(journey.records[-1])
    values["loss"] = journey.losses[-1][-1] if journey.losses else np.inf
    for stop in stops if _is_measured(journey) else ():
        if (reason := stop(values)) is not None:
            return reason
    return StopReason.STEPS_SPENT if int(journey.state.step) >= num_steps else None


def _tell(report: Report, journey: Journey) -> None:
    shown = {"hessian_eigenvalue": "sharpness", "ntk_eigenvalue": "NTK", "accuracy": "accuracy"}
    latest = journey.records[-1]
    words = [f"{label} {float(np.ravel(latest[name])[0]):.4g}" for name, label in shown.items() if name in latest]
    if journey.losses:
        words.append(f"loss {journey.losses[-1][-1]:.3g}")
    report(int(journey.state.step), ", ".join(words))


def _finished(journey: Journey, reason: StopReason) -> Training:
    names = [name for name in journey.records[0] if name != "probe_step"]
    diverged = reason == StopReason.DIVERGED
    return Training(
        saved={name: np.stack([record[name] for record in journey.records]) for name in names},
        probe_step=np.array([record["probe_step"] for record in journey.records]),
        loss=np.concatenate(journey.losses) if journey.losses else np.zeros(0, journey.state.loss.dtype),
        state=journey.state,
        status=Status.DIVERGED if diverged else Status.DONE,
        stop_reason=reason,
        diverged_at=int(journey.state.step) if diverged else -1,
    )
