"""How long one call takes, in several ways measured in turn, so that what else the machine does hits all alike.

A way is any callable that returns when its work is done; `forward` makes one of a model. What is measured first gains
or loses by it (caches, clock rates), so every second round goes backwards.
"""

import platform
import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pruning_core.probing import random_inputs

Way = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)

#: Rounds that are measured: at least, whatever they take, and at most, however quick they are.
LEAST_ROUNDS, MOST_ROUNDS = 3, 25


def interleaved(ways: Mapping[Name, Way], *, seconds: float = 1.0, most: int = MOST_ROUNDS) -> list[dict[Name, float]]:
    """How long each way's call takes, round by round.

    Args:
        ways: by name. Each is called once unmeasured, then once a round, one after the other.
        seconds: after so many no further round begins, once there are `LEAST_ROUNDS`.
        most: rounds, however quick they are.

    Returns:
        Of each round name → seconds.
    """
    names = list(ways)
    for way in ways.values():
        way()  # the first call plans and allocates
    rounds: list[dict[Name, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < most and time.perf_counter() < end):
        rounds.append({name: _seconds(ways[name]) for name in (names[::-1] if len(rounds) % 2 else names)})
    return rounds


def _seconds(way: Way) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def interleaved_medians(ways: Mapping[Name, Way], *, seconds: float = 1.0) -> dict[Name, float]:
    """The median duration of each way's call, in the order of `ways`; arguments as for `interleaved`."""
    rounds = interleaved(ways, seconds=seconds)
    return {name: median(each[name] for each in rounds) for name in ways}


def forward(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Way:
    """A forward pass without gradients that ends when the device has ended it.

    Args:
        model: on its device, in eval mode.
        inputs: what its `forward` takes; moved to its device once.
    """
    device = model.device
    there = {name: tensor.to(device) for name, tensor in inputs.items()}

    @torch.inference_mode()
    def once() -> None:
        model(**there)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return once


def timings(
    models: Mapping[str, PreTrainedModel], tokens: int, *, batch_sizes: tuple[int, ...] = (1, 32)
) -> dict[str, object]:
    """The median forward pass of several models on random inputs.

    Args:
        models: by name, all on one device, in eval mode.
        tokens: of each row.
        batch_sizes: rows of a batch.

    Returns:
        The fields of `report_schema.Latency`.
    """
    device = next(iter(models.values())).device
    batches: list[dict[str, object]] = []
    for rows in batch_sizes:
        ways = {name: forward(model, random_inputs(model.config, rows, tokens)) for name, model in models.items()}
        batches.append({"batch_size": rows, "seconds": interleaved_medians(ways)})
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    return {"device": name, "threads": torch.get_num_threads(), "tokens": tokens, "batches": batches}
