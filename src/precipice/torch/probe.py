"""The probe set: batches taken once from the data, held fixed, cast, and weighted so that the mean is over examples."""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils import data as utils

from precipice._checks import InputError, whole
from precipice.torch.random_state import kept_random_state


class Chunk(NamedTuple):
    """A part of the probe set that passes through the model at once, and its share of the mean (all add up to 1)."""

    batch: Any
    weight: float


def probe_batches(data: Iterable[Any], num: int) -> list[Any]:
    """The first `num` batches of `data`, or all if there are fewer, taken once: a loader that shuffles does no harm.

    The random state, and those of the generators of a loader and its samplers, are put back, so that training sees the
    order that it would have seen.

    Args:
        data: a list of batches, or a loader that can be begun anew.
        num: how many.

    Raises:
        InputError: an iterator, from whose training the batches would be lost; a tuple of tensors, which is one batch;
            data without a batch; `num` below 1.

    Example:
        >>> probe_batches([torch.ones(2), torch.ones(1)], 1)
        [tensor([1., 1.])]
    """
    whole("num of the probe's batches", num, 1)
    if isinstance(data, Iterator):
        raise InputError(
            "data must be a list of batches or a loader that can be begun anew, since an iterator would lose the "
            f"batches that are measured; got {type(data).__name__} (hand list(itertools.islice(iterator, n)))."
        )
    if not isinstance(data, Iterable) or isinstance(data, (Mapping, torch.Tensor, str)):
        raise InputError(f"data must be a list or loader of batches; got {type(data).__name__} (one batch: [batch]).")
    if isinstance(data, tuple) and data and all(isinstance(part, torch.Tensor) for part in data):
        raise InputError(
            "data must be a list or loader of batches; got a tuple of tensors, which is one batch: hand "
            "[(inputs, targets)], or a loader of TensorDataset(inputs, targets)."
        )
    kept = [(generator, generator.get_state()) for generator in _generators(data)]
    with kept_random_state(()):
        batches = list(itertools.islice(iter(data), num))
    for generator, state in kept:
        generator.set_state(state)
    if not batches:
        raise InputError("data must hold at least one batch; got none (an exhausted stream?).")
    return batches


def training_size(data: Any) -> int | None:
    """The examples that a loader goes through in an epoch, each once; None where it does not tell.

    Example:
        >>> training_size(torch.utils.data.DataLoader(torch.zeros(10, 2), batch_size=4)), training_size([1])
        (10, None)
    """
    batches = getattr(data, "batch_sampler", None)
    sampler = getattr(batches, "sampler", None) if isinstance(batches, utils.BatchSampler) else None
    if isinstance(sampler, utils.SubsetRandomSampler):
        return len(sampler)
    once = isinstance(sampler, (utils.SequentialSampler, utils.RandomSampler, utils.DistributedSampler))
    return len(data.dataset) if once and not getattr(sampler, "replacement", False) else None


def weighted_chunks(
    batches: Iterable[Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    weight: Callable[[Any], float],
    chunk: int | None = None,
) -> list[Chunk]:
    """Batches on the model's device with floating-point inputs in the measurement's precision, cut to `chunk` rows.

    Args:
        batches: tensors, or tuples, lists or mappings of them.
        device: of the model. Batches on the CPU are moved there.
        dtype: of the measurement.
        weight: what a batch counts, such as `num_examples` for losses that are means over examples.
        chunk: rows that pass at once; None leaves the batches whole.

    Raises:
        InputError: a batch on another device, a weight that is not positive, `chunk` below 1.
    """
    placed = [map_tensors(lambda t: _placed(t, device, dtype), batch) for batch in batches]
    if chunk is not None:
        whole("chunk", chunk, 1)
        placed = [part for batch in placed for part in _cut(batch, chunk)]
    weights = [float(weight(batch)) for batch in placed]
    if not (sum(weights) > 0 and min(weights) >= 0):
        raise InputError(f"weight of a batch must not be negative, nor all of them zero; got {weights}.")
    return [Chunk(batch, w / sum(weights)) for batch, w in zip(placed, weights, strict=True) if w]


def num_examples(batch: Any) -> int:
    """The length of the first tensor of a batch: its examples.

    Example:
        >>> num_examples({"input_ids": torch.zeros(3, 5), "labels": torch.zeros(3)})
        3
    """
    for tensor in tensors(batch):
        if tensor.ndim:
            return len(tensor)
    raise InputError(f"batch must hold a tensor with an axis of examples; got {type(batch).__name__} (pass weight=).")


def num_labels(batch: Mapping[str, torch.Tensor]) -> int:
    """The labels of a batch that count (not -100): the weight for Hugging Face losses, which are means over tokens.

    Causal models predict the next token, so the first label of each row never counts for them: pass a function of your
    own where rows differ so much that this matters.

    Example:
        >>> num_labels({"labels": torch.tensor([[1, 2, -100], [3, -100, -100]])})
        3
    """
    return int((batch["labels"] != -100).sum())


def tensors(batch: Any) -> Iterator[torch.Tensor]:
    """All tensors of a batch, in order."""
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors(value)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from tensors(value)


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], batch: Any) -> Any:
    """A batch of the same kind with `function` applied to its tensors; what is no container is left as it is."""
    if isinstance(batch, torch.Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        new: Any = copy.copy(batch)  # keeps the kind: Hugging Face's BatchEncoding is read by attributes too
        for name, value in batch.items():
            new[name] = map_tensors(function, value)
        return new
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, value) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(map_tensors(function, value) for value in batch)
    return batch


def rows(batch: Any, start: int, stop: int) -> Any:
    """The examples from `start` to `stop` of a batch; tensors without an axis of that length are left whole."""
    total = num_examples(batch)
    return map_tensors(lambda t: t[start:stop] if t.ndim and len(t) == total else t, batch)


def joined(batches: Sequence[Any]) -> Any | None:
    """All examples as one batch; None where the batches are not of one structure, or hold more than examples.

    Example:
        >>> joined([{"x": torch.zeros(2, 3)}, {"x": torch.ones(1, 3)}])["x"].shape
        torch.Size([3, 3])
    """
    parts = [list(tensors(batch)) for batch in batches]
    sizes = [{t.shape[0] if t.ndim else -1 for t in part} for part in parts]
    if any(len(size) != 1 or min(size) < 1 for size in sizes) or len({len(part) for part in parts}) > 1:
        return None
    if len({tuple((t.shape[1:], t.dtype) for t in part) for part in parts}) > 1:
        return None
    if len({str(map_tensors(lambda _: 0, batch)) for batch in batches}) > 1:  # type: ignore[arg-type]
        return None
    columns = iter([torch.cat(column) for column in zip(*parts, strict=True)])
    return map_tensors(lambda _: next(columns), batches[0])


def _generators(data: Any) -> list[torch.Generator]:
    """Those of a loader and of its samplers."""
    places = [data, *(getattr(data, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    places.append(getattr(places[2], "sampler", None))
    found = [getattr(place, "generator", None) for place in places]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _cut(batch: Any, chunk: int) -> list[Any]:
    total = num_examples(batch)
    return [rows(batch, start, min(start + chunk, total)) for start in range(0, total, chunk)]


def _placed(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    if tensor.device != device and tensor.device.type != "cpu":
        raise InputError(f"data must be on the model's device ({device}) or on the CPU; got {tensor.device}.")
    return tensor.detach().to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
