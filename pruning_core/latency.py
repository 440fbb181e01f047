"""How long one call takes, in several ways measured in turn, so that what else the machine does hits all alike.

A way is any callable that returns when its work is done; `forward` makes one of a model. What is measured first gains
or loses by it (caches, clock rates), so every second round goes backwards.
"""

import platform
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pruning_core.probing import random_inputs

Way = Callable[[], object]

#: Rounds that are measured: at least, whatever they take, and at most, however quick they are.
LEAST_ROUNDS, MOST_ROUNDS = 3, 25


def interleaved_medians(ways: Mapping[str, Way], *, seconds: float = 1.0) -> dict[str, float]:
    """The median duration of each way's call.

    Args:
        ways: by name. Each is called once unmeasured, then once a round, one after the other.
        seconds: after so many no further round begins, once there are `LEAST_ROUNDS`.

    Returns:
        Name → seconds, in the order of `ways`.
    """
    names = list(ways)
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    for number in range(MOST_ROUNDS):
        if number >= LEAST_ROUNDS and time.perf_counter() >= end:
            break
        for name in names[::-1] if number % 2 else names:
            started = time.perf_counter()
            ways[name]()
            taken[name].append(time.perf_counter() - started)
    return {name: median(durations) for name, durations in taken.items()}


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
