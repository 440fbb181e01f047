"""What would fit instead, where memory did not suffice."""

import gc
import math
import sys
from collections.abc import Callable

from pruning_core.memory import is_out_of_memory
from pruning_core.settings import Training


def largest_that_fits(batch_size: int, try_one_step: Callable[[int], None], least: int = 1) -> int | None:
    """The largest half, quarter, … of a batch size with which a step fits; None where not even the least does.

    Args:
        batch_size: what did not fit.
        try_one_step: takes a step with a batch size; its errors are passed on unless they are for want of memory.
        least: one example for each device.
    """
    size = batch_size // 2
    while size >= least:
        gc.collect()
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()  # does nothing where there is no GPU
        try:
            try_one_step(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
        size //= 2
    return None


def advice(training: Training, fits: int | None) -> str:
    """What to tell the people whose job did not fit.

    Args:
        training: its settings.
        fits: a batch size that does, as `largest_that_fits` finds it.
    """
    size = training.batch_size
    begin = f"The trainer ran out of memory with forward passes of {size} examples. "
    if fits is not None:
        passes = math.ceil(size * training.gradient_accumulation / fits)
        return begin + (
            f"training.batch_size {fits} fits; with gradient_accumulation {passes} a step has as many examples as "
            "before. Or say batch_size 'auto'."
        )
    if training.auto_batch and size // 2 >= training.gpus:
        return begin + "It goes on with half as many in twice as many passes."
    one = "one" if training.gpus == 1 else "one a device"
    return begin + f"Not even {one} fits: lower training.max_length, or use a smaller model or a larger machine."
