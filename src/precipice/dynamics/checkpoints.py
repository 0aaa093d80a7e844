"""Checkpoints of a training: the state, the trackers' memories and all records, kept whole or not at all.

Implementations: `CheckpointFile`, one file that tells if it is damaged, written by the process that holds all arrays;
`CheckpointFolder` (checkpoint_folder.py), Orbax, for arrays spread over devices.

To add one: a final, frozen subclass of `AbstractCheckpoint` in a file of its own, and a row in tests/test_resume.py.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
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


class AbstractCheckpoint(abc.ABC):
    """A place that holds the latest state of one training."""

    @abc.abstractmethod
    def exists(self) -> bool:
        """Whether there is one."""

    @abc.abstractmethod
    def store(self, journey: Journey, fingerprint: str) -> None:
        """Write `journey`; a kill leaves the old one or the new one."""

    @abc.abstractmethod
    def restore(self, fresh: Journey, fingerprint: str) -> Journey:
        """The journey kept here; `fresh` gives the structure of its pytrees.

        Raises:
            InputError: it belongs to a run with other settings, or is damaged.
        """


@dataclass(frozen=True)
class CheckpointFile(AbstractCheckpoint):
    """One ``.npz`` file with a checksum, see `results.save_checkpoint`; what `train` makes of a path.

    Args:
        path: of the file.
    """

    path: Path

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def store(self, journey: Journey, fingerprint: str) -> None:
        """Replace the file in one step."""
        arrays = {name: np.asarray(leaf) for name, leaf in arrays_of(journey).items()}
        meta = {"fingerprint": fingerprint, "alive": journey.alive}
        save_checkpoint(self.path, arrays | history_of(journey), meta)

    def restore(self, fresh: Journey, fingerprint: str) -> Journey:
        """Read the file, every byte checked."""
        arrays, meta = load_checkpoint(self.path)
        check_same(arrays, fresh, meta["fingerprint"], fingerprint, self.path)
        kept = {name: jnp.array(arrays[name]) for name in arrays_of(fresh)}
        return rebuilt(kept, fresh, bool(meta["alive"]), arrays)


def arrays_of(journey: Journey) -> dict[str, Any]:
    """State and memories as arrays by name, the key as its data."""
    leaves = jax.tree.leaves((_without_key(journey.state), journey.memories))
    return {f"leaf_{i}": leaf for i, leaf in enumerate(leaves)} | {"key": jax.random.key_data(journey.state.key)}


def history_of(journey: Journey) -> dict[str, np.ndarray]:
    """Losses and records as arrays by name."""
    arrays = {"losses": np.concatenate(journey.losses)} if journey.losses else {}
    return arrays | {
        f"record_{name}": np.stack([record[name] for record in journey.records]) for name in journey.records[0]
    }


def check_same(kept: Mapping[str, Any], fresh: Journey, found: str, fingerprint: str, path: Path) -> None:
    """Refuse what is kept of another run: another fingerprint, or another network's arrays."""
    if found != fingerprint:
        raise InputError(f"a checkpoint must belong to the same run to be resumed; {path} holds another.")
    wanted = {name: (leaf.shape, leaf.dtype) for name, leaf in arrays_of(fresh).items()}
    there = {name: (kept[name].shape, kept[name].dtype) for name in kept if name == "key" or name.startswith("leaf_")}
    if len(there) != len(wanted):
        raise InputError(
            f"a checkpoint must belong to the same run to be resumed; {path} holds another: {len(there)} arrays, where "
            f"this run's network, optimiser and measurements have {len(wanted)}."
        )
    for name, (shape, dtype) in wanted.items():
        if there.get(name) != (shape, dtype):
            got = "none" if name not in there else f"{there[name][1]}{list(there[name][0])}"
            raise InputError(
                f"a checkpoint must belong to the same run to be resumed; {path} holds another: {got} where this run "
                f"has an array {dtype}{list(shape)}."
            )


def rebuilt(kept: Mapping[str, Any], fresh: Journey, alive: bool, history: Mapping[str, np.ndarray]) -> Journey:
    """The journey of these arrays; `fresh` gives the structure."""
    structure = jax.tree.structure((_without_key(fresh.state), fresh.memories))
    leaves = [kept[f"leaf_{i}"] for i in range(structure.num_leaves)]
    (step, params, memory, loss), memories = jax.tree.unflatten(structure, leaves)
    key = jax.random.wrap_key_data(jnp.asarray(kept["key"]), impl=jax.random.key_impl(fresh.state.key))
    names = [name.removeprefix("record_") for name in history if name.startswith("record_")]
    num = len(history["record_probe_step"])
    records = [{name: history[f"record_{name}"][i] for name in names} for i in range(num)]
    losses = [history["losses"]] if "losses" in history else []
    return Journey(State(step, params, memory, key, loss), alive, memories, records, losses)


def _without_key(state: State) -> tuple:
    return state.step, state.params, state.memory, state.loss
