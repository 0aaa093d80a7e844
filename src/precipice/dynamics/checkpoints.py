"""Checkpoints of a training: the state, the trackers' memories and all records, in one file written atomically."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from precipice._checks import InputError
from precipice.dynamics.process import State
from precipice.results import load_checkpoint, save_checkpoint


class Journey(NamedTuple):
    """A training under way.

    Args:
        state: where the process is.
        alive: whether it still moves (False after a divergence).
        memories: one pytree for each tracker.
        records: the measurements so far, one dictionary each; ``probe_step`` is the step.
        losses: the losses before each step, in blocks.
    """

    state: State
    alive: bool
    memories: tuple[PyTree, ...]
    records: list[dict[str, Any]]
    losses: list[np.ndarray]


def store(path: Path, journey: Journey, fingerprint: str) -> None:
    """Write `journey` to `path`; a kill leaves the old file or the new one."""
    leaves = jax.tree.leaves((_without_key(journey.state), journey.memories))
    arrays = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    arrays["key"] = np.asarray(jax.random.key_data(journey.state.key))
    if journey.losses:
        arrays["losses"] = np.concatenate(journey.losses)
    for name in journey.records[0]:
        arrays[f"record_{name}"] = np.stack([record[name] for record in journey.records])
    save_checkpoint(path, arrays, {"fingerprint": fingerprint, "alive": journey.alive})


def restore(path: Path, fresh: Journey, fingerprint: str) -> Journey:
    """The journey kept in `path`; `fresh` gives the structure of its pytrees.

    Raises:
        InputError: the file belongs to a run with other settings, or is damaged.
    """
    arrays, meta = load_checkpoint(path)
    template = (_without_key(fresh.state), fresh.memories)
    leaves, structure = jax.tree.flatten(template)
    kept = [arrays.get(f"leaf_{i}") for i in range(len(leaves))]
    same = all(a is not None and a.shape == b.shape and a.dtype == b.dtype for a, b in zip(kept, leaves, strict=True))
    if meta["fingerprint"] != fingerprint or not same:
        raise InputError(f"a checkpoint must belong to the same run to be resumed; {path} holds another.")
    (step, params, memory, loss), memories = jax.tree.unflatten(structure, [jnp.array(leaf) for leaf in kept])
    names = [name.removeprefix("record_") for name in arrays if name.startswith("record_")]
    records = [{name: arrays[f"record_{name}"][i] for name in names} for i in range(len(arrays["record_probe_step"]))]
    key = jax.random.wrap_key_data(jnp.asarray(arrays["key"]), impl=jax.random.key_impl(fresh.state.key))
    losses = [arrays["losses"]] if "losses" in arrays else []
    return Journey(State(step, params, memory, key, loss), bool(meta["alive"]), memories, records, losses)


def _without_key(state: State) -> tuple:
    return state.step, state.params, state.memory, state.loss
