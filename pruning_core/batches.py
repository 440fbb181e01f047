"""Which items make up a batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.trainer_pt_utils import get_length_grouped_indices

#: Batches' worth of random items sorted by length at a time; more saves little padding and makes batches less random.
_SORTED_TOGETHER = 16


def batches_of_like_length(lengths: NDArray[np.int64], size: int, seed: int) -> list[list[int]]:
    """All items in batches whose members are of like length, the batches in random order.

    Without the second shuffle they would run from long to short, over and over: where length tells classes apart (spam
    is long), a short run would end on one class and answer it to everything.

    Args:
        lengths: [items] tokens.
        size: items per batch; the last few may make a smaller one.
        seed: same seed, same batches.
    """
    generator = torch.Generator().manual_seed(seed)
    order = get_length_grouped_indices(lengths.tolist(), size, mega_batch_mult=_SORTED_TOGETHER, generator=generator)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
