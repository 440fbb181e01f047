"""Judging a model on a split, at its own speed: rows sorted by length, no gradients."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.tasks.base import Batch, EncodedSplit, Quality, Task

_TOKENS_PER_BATCH = 16_384
_MOST_PER_BATCH = 256


#: Called now and then where work goes on without a step; what it raises ends the work.
Tick = Callable[[], None]


def nobody_waits() -> None:
    """The tick of work that nobody watches."""


class Judged(Protocol):
    """What can be judged: a model of PyTorch's, or one elsewhere that answers alike."""

    training: bool

    @property
    def device(self) -> torch.device:
        """Where its inputs must be."""

    @property
    def forward(self) -> Callable[..., Any]:
        """Names what it reads."""

    def train(self, mode: bool = True) -> Any:
        """Be as while training, or not."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The answers to a batch."""


def evaluate(
    model: Judged,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    split: EncodedSplit,
    *,
    bf16: bool = False,
    max_items: int | None = None,
    tick: Tick = nobody_waits,
) -> dict[str, float]:
    """Quality of the model as it is, so with the mask of the moment, never with a mask of the future.

    Args:
        model: on its device; left in the mode it was in.
        tokenizer: pads the batches.
        task: judges the answers.
        split: items to judge on.
        bf16: autocast; the figures of a report are computed in fp32.
        max_items: judge on this many evenly spaced items at most.
        tick: called before each batch.

    Returns:
        Metric name → value, and `loss`, the mean over the items, where the model tells it.
    """
    return judge(model, tokenizer, task, split, bf16=bf16, max_items=max_items, tick=tick)[0]


def judge(
    model: Judged,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    split: EncodedSplit,
    *,
    bf16: bool = False,
    max_items: int | None = None,
    tick: Tick = nobody_waits,
) -> tuple[dict[str, float], Quality]:
    """The same, and with it the judge, who knows of each row how it went."""
    items = np.arange(len(split)) if max_items is None else split.some(max_items)
    quality = task.quality(split, model.device)
    loss, told = torch.zeros((), device=model.device), False
    for chosen, batch, output in answers(model, tokenizer, task, split, items, bf16=bf16, tick=tick):
        quality.update(chosen, output, batch)
        if output.get("loss") is not None:
            loss += task.loss(output, batch) * len(chosen)
            told = True
    return {**quality.compute(), **({"loss": float(loss) / len(items)} if told else {})}, quality


def answers(
    model: Judged,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    split: EncodedSplit,
    items: NDArray[np.int64],
    *,
    bf16: bool = False,
    tick: Tick = nobody_waits,
) -> Iterator[tuple[NDArray[np.int64], Batch, ModelOutput]]:
    """The model's answers to some items of a split, in batches of like length, without dropout or gradients.

    Yields:
        Which items, what the model was given, and its output.
    """
    items = items[np.argsort(split.lengths[items], kind="stable")]
    was_training = model.training
    model.train(mode=False)
    try:
        start = 0
        while start < len(items):
            tick()
            # Items are in ascending length: the last item of a batch bounds its padded size.
            longest = int(split.lengths[items[min(start + _MOST_PER_BATCH, len(items)) - 1]])
            size = min(_MOST_PER_BATCH, max(1, _TOKENS_PER_BATCH // (longest + 8)))
            chosen = items[start : start + size]
            padded = task.collate(tokenizer, [split[int(item)] for item in chosen])
            batch = {name: tensor.to(model.device) for name, tensor in padded.items()}
            with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
                output = model(**accepted(model, batch))
            yield chosen, batch, output
            start += len(chosen)
    finally:
        model.train(was_training)


def accepted(model: Judged, batch: Batch) -> Batch:
    """What of a batch a model's `forward` names: a teacher may be of another family, without token types."""
    names = inspect.signature(model.forward).parameters
    return {name: tensor for name, tensor in batch.items() if name in names}
