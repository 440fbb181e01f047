"""What every step does with a mask of booleans; on a CPU NumPy does it several times as fast as torch."""

import numpy as np
import torch
from torch import Tensor

from pruning_core.threads import in_parts


def multiply_by_mask(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """Write values ⊙ mask, all [n]."""
    if values.device.type != "cpu":
        torch.mul(values, mask, out=out)
        return
    source, kept, product = values.detach().numpy(), mask.numpy(), out.detach().numpy()

    def multiply(part: slice) -> None:
        np.multiply(source[part], kept[part], out=product[part])

    in_parts(len(source), multiply)


def fill_where(values: Tensor, chosen: Tensor, value: float) -> None:
    """Write one value at the chosen places of [n] values."""
    if values.device.type != "cpu":
        values.masked_fill_(chosen, value)
        return
    numbers, places = values.numpy(), chosen.numpy()
    in_parts(len(numbers), lambda part: np.copyto(numbers[part], value, where=places[part]))
