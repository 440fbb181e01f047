"""What every step does with a mask of booleans, for which torch's own ways on a CPU take several times as long."""

import numpy as np
import torch
from torch import Tensor

from pruning_core.threads import in_parts

#: Values multiplied together: as many as a cache holds with their factors.
_PART = 1 << 19


def multiply_by_mask(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """Write values ⊙ mask, all [n]."""
    if values.device.type != "cpu":
        torch.mul(values, mask, out=out)
        return
    factors = torch.empty(min(len(values), _PART))
    for some, kept, product in zip(values.split(_PART), mask.split(_PART), out.split(_PART), strict=True):
        torch.mul(some, factors[: len(kept)].copy_(kept), out=product)


def fill_where(values: Tensor, chosen: Tensor, value: float) -> None:
    """Write one value at the chosen places of [n] values."""
    if values.device.type != "cpu":
        values.masked_fill_(chosen, value)
        return
    numbers, places = values.numpy(), chosen.numpy()
    in_parts(len(numbers), lambda part: np.copyto(numbers[part], value, where=places[part]))
