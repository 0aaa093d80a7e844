"""The workers of a cluster: hired, given one block each, waited for, replaced when they die."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from precipice._checks import InputError
from precipice.results.layout import Block
from precipice.studies.local import Cells

_PATIENCE = 5.0


class Outcome(NamedTuple):
    """What became of a block that was given away.

    Args:
        block: which.
        cells: how its cells ended; None: it was done or claimed by others, or the worker died.
        died: whether the worker did.
    """

    block: Block
    cells: Cells | None
    died: bool


class _Job(NamedTuple):
    """What a worker was asked for: a block, or None to open."""

    worker: Any
    block: Block | None


class Crew:
    """`num` workers, of which each has at most one block.

    Args:
        ray: connected.
        hire: starts an actor of `worker.Worker`.
        num: of workers.
        attempts: workers that may die in a row before they are open.
    """

    def __init__(self, ray: ModuleType, hire: Callable[[], Any], num: int, attempts: int):
        self._ray, self._hire, self._attempts = ray, hire, attempts
        self._jobs: dict[Any, _Job] = {}
        self._free: list[Any] = []
        self._stillborn = 0
        for _ in range(num):
            self._start()

    @property
    def num_free(self) -> int:
        """Workers that wait for a block."""
        return len(self._free)

    @property
    def num_busy(self) -> int:
        """Blocks in flight."""
        return sum(job.block is not None for job in self._jobs.values())

    @property
    def num_open(self) -> int:
        """Workers that have started and live, as far as one knows."""
        return self.num_free + self.num_busy

    def give(self, block: Block) -> None:
        """Give a block to a worker that is free."""
        worker = self._free.pop()
        self._jobs[worker.compute.remote(block)] = _Job(worker, block)

    def wait(self, seconds: float) -> list[Outcome]:
        """The blocks that came to an end, as soon as one does, or after `seconds`.

        Raises:
            InputError: a worker cannot open the study, or several died before they could.
            Exception: what a worker raised.
        """
        ready, _ = self._ray.wait(list(self._jobs), timeout=seconds)
        return [outcome for ref in ready if (outcome := self._ended(ref)) is not None]

    def close(self) -> None:
        """End all workers: claims on blocks in flight are given back, and the processes killed."""
        jobs = list(self._jobs.values())
        asked = [worker.stop.remote() for worker, block in jobs if block is not None]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE)
        for worker in [*(job.worker for job in jobs), *self._free]:
            self._ray.kill(worker)
        self._jobs, self._free = {}, []

    def _start(self) -> None:
        worker = self._hire()
        self._jobs[worker.open.remote()] = _Job(worker, None)

    def _ended(self, ref: Any) -> Outcome | None:
        errors, (worker, block) = self._ray.exceptions, self._jobs.pop(ref)
        try:
            cells = self._ray.get(ref)
        except errors.RayTaskError as error:
            self._free.append(worker)
            raise error.cause from None
        except (errors.RayActorError, errors.OutOfMemoryError, errors.WorkerCrashedError) as error:
            self._replace(worker, block, error)
            return None if block is None else Outcome(block, None, died=True)
        self._free.append(worker)
        self._stillborn = 0
        return None if block is None else Outcome(block, cells, died=False)

    def _replace(self, worker: Any, block: Block | None, error: Exception) -> None:
        self._ray.kill(worker)
        self._stillborn += block is None
        if self._stillborn >= self._attempts:
            last = str(error).strip().splitlines()[-1]
            raise InputError(f"Workers must start; {self._stillborn} died before their first block: {last}")
        self._start()
