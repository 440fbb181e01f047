"""Random numbers for every weight, drawn on as many cores as there are."""

import numpy as np
import torch
from torch import Tensor

from pruning_core.threads import in_parts

#: How near to 0 and 1 a number may come: logarithms of both sides stay finite.
_MARGIN = 1e-6


def write_uniform(out: Tensor) -> None:
    """Fill `out`, [n] fp32, with numbers from the open interval (0, 1).

    They follow from torch's own generator, whose state a checkpoint holds. On a CPU it gives the seed alone: it draws
    on one core, and ten million numbers would take it a fifteenth of a training step.
    """
    if out.device.type != "cpu":
        out.uniform_(_MARGIN, 1.0 - _MARGIN)
        return
    seed, numbers = int(torch.randint(2**63 - 1, ())), out.numpy()

    def draw(part: slice) -> None:
        generator = np.random.Generator(np.random.SFC64([seed, part.start]))
        generator.random(dtype=np.float32, out=numbers[part])
        np.clip(numbers[part], _MARGIN, 1.0 - _MARGIN, out=numbers[part])

    in_parts(len(numbers), draw)
