"""Want of memory: told from other errors, and what would fit instead.

torch is looked for where it has been loaded, and not loaded: where it has not been, none of its errors can come from.
"""

import gc
import math
import sys
from collections.abc import Callable

from pruning_core.settings import Training

#: How torch's allocator on a CPU says it (c10/core/impl/alloc_cpu.cpp); it has no exception of its own.
_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the host."""
    if isinstance(error, MemoryError):
        return True
    if (torch := sys.modules.get("torch")) and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)


def largest_that_fits(batch_size: int, try_one_step: Callable[[int], None]) -> int | None:
    """The largest half, quarter, … of a batch size with which a step fits; None where not even one example does.

    Args:
        batch_size: what did not fit.
        try_one_step: takes a step with a batch size; its errors are passed on unless they are for want of memory.
    """
    size = batch_size // 2
    while size >= 1:
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
    if training.auto_batch and size > 1:
        return begin + "It goes on with half as many in twice as many passes."
    return begin + "Not even one fits: lower training.max_length, or use a smaller model or a larger machine."
