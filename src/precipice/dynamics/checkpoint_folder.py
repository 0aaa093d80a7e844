"""Checkpoints by Orbax: arrays spread over devices are written and read part by part, none gathered on the host."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from precipice._checks import InputError, at_least
from precipice.dynamics.checkpoints import AbstractCheckpoint, Journey, arrays_of, check_same, history_of, rebuilt


@dataclass(frozen=True)
class CheckpointFolder(AbstractCheckpoint):
    """A folder of the latest checkpoints, written by Orbax; ``train(..., checkpoint=CheckpointFolder(path))``.

    For trainings over a mesh: each device's part goes to disk from that device and comes back to it, on one host or
    many. On a single device `CheckpointFile` is quicker, and finds a flipped bit, which this does not.

    Args:
        path: the folder; made if need be.
        keep: how many checkpoints stay, the latest ones.

    Raises:
        InputError: `keep` below 1, or Orbax is not installed.
    """

    path: Path
    keep: int = 2

    def __post_init__(self):
        at_least("keep", self.keep, 1)
        _orbax()

    def exists(self) -> bool:
        """Whether a complete checkpoint is there."""
        with self._manager() as manager:
            return manager.latest_step() is not None

    def store(self, journey: Journey, fingerprint: str) -> None:
        """Add a checkpoint, then remove the oldest beyond `keep`."""
        args = _orbax().args
        arrays = {name: leaf for name, leaf in arrays_of(journey).items() if leaf.size}  # Orbax takes no empty arrays
        history = {name: array for name, array in history_of(journey).items() if array.size}
        meta = {"fingerprint": fingerprint, "alive": bool(journey.alive)}
        with self._manager() as manager:
            number = manager.latest_step()
            manager.save(
                0 if number is None else number + 1,
                args=args.Composite(
                    state=args.StandardSave(arrays), history=args.StandardSave(history), meta=args.JsonSave(meta)
                ),
            )

    def restore(self, fresh: Journey, fingerprint: str) -> Journey:
        """Read the latest, each array to where its like in `fresh` lies."""
        args = _orbax().args
        wanted = arrays_of(fresh)
        like = {name: _abstract(leaf) for name, leaf in wanted.items() if leaf.size}
        with self._manager() as manager:
            number = manager.latest_step()
            meta = manager.restore(number, args=args.Composite(meta=args.JsonRestore()))["meta"]
            check_same(wanted, fresh, meta["fingerprint"], fingerprint, self.path)
            parts = args.Composite(state=args.StandardRestore(like), history=args.StandardRestore())
            try:
                found = manager.restore(number, args=parts)
            except (ValueError, KeyError, FileNotFoundError) as error:  # other arrays, or files that are gone
                raise InputError(
                    f"a checkpoint must belong to the same run to be resumed, and be whole; {self.path} does not: "
                    f"{str(error).splitlines()[0]}"
                ) from error
        kept = wanted | dict(found["state"])
        check_same(kept, fresh, meta["fingerprint"], fingerprint, self.path)
        history = {name: np.asarray(array) for name, array in found["history"].items()}
        return rebuilt(kept, fresh, meta["alive"], history)

    def _manager(self) -> Any:
        orbax = _orbax()
        options = orbax.CheckpointManagerOptions(max_to_keep=self.keep, enable_async_checkpointing=False)
        return orbax.CheckpointManager(Path(self.path).absolute(), options=options)


def _abstract(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) if isinstance(leaf, jax.Array) else leaf


def _orbax() -> Any:
    try:
        return importlib.import_module("orbax.checkpoint")  # 0.8 seconds; an extra, which type checkers may not find
    except ImportError:
        raise InputError(
            "CheckpointFolder needs Orbax (pip install 'precipice[orbax]'); it is not installed."
        ) from None
