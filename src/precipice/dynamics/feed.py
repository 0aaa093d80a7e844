"""Steps on data that come from the host, a batch a step: how `train` moves what does not fit into memory."""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from precipice._checks import InputError
from precipice.dynamics.advance import advance_once
from precipice.dynamics.checkpoints import Journey
from precipice.dynamics.process import AbstractProcess

Feed: TypeAlias = Callable[[int], PyTree]
"""``feed(step)``: the data of this step, a function of the step alone; all steps' have the same shapes."""

AHEAD = 2
"""Steps that may wait for the device while the next batch is made; no more batches are held than theirs."""


def fed(process: AbstractProcess, data: PyTree) -> AbstractProcess:
    """`process` with these data as all the data of its problem, each step's batch being all of them.

    Raises:
        InputError: a process without such data, or one that draws a smaller batch from them.
    """
    if not hasattr(getattr(process, "problem", None), "data"):
        raise InputError(f"a feed needs a process whose problem has data; got {type(process).__name__}.")
    new: Any = eqx.tree_at(lambda p: p.problem.data, process, data)
    num = getattr(new, "num_examples", None)
    if num is not None and new.batch_size != num:
        raise InputError(f"batch_size must be that of the feed, {num}; got {new.batch_size}.")
    return new


_compiled_step = eqx.filter_jit(advance_once)


def fed_block(process: AbstractProcess, journey: Journey, num: int, feed: Feed) -> Journey:
    """`journey` after up to `num` steps, each on its own data: the numbers of as many blocks of one step.

    The host makes the next batch while the device works, `AHEAD` steps in front of it at most. After a divergence no
    further batch is asked for than those already under way.
    """
    first = int(journey.state.step)
    state, alive, losses, under_way = journey.state, jnp.array(True), [], deque()
    for step in range(first, first + num):
        state, alive, loss = _compiled_step(fed(process, feed(step)), state, alive)
        losses.append(loss)
        under_way.append(alive)
        if len(under_way) > AHEAD and not bool(under_way.popleft()):
            break
    taken = int(state.step) - first + (0 if alive else 1)
    kept = np.array([np.asarray(loss) for loss in losses[:taken]])
    return journey._replace(state=state, alive=bool(alive), losses=[*journey.losses, kept])
