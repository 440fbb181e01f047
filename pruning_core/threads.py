"""NumPy works on one core: here its passes over millions of values are shared among as many threads as torch uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

#: Values of one part: small enough to share evenly, large enough that handing it over costs nothing.
PART = 1 << 20

Result = TypeVar("Result")


def in_parts(length: int, work: Callable[[slice], Result]) -> list[Result]:
    """Do work on consecutive parts of arrays of a length. The parts are the same on every machine.

    Args:
        length: of the arrays, which share it.
        work: gets a part's place, and should release the GIL, as NumPy's functions do.

    Returns:
        What it gave, part by part.
    """
    parts = [slice(start, min(start + PART, length)) for start in range(0, length, PART)]
    threads = torch.get_num_threads()
    if threads == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    return list(_pool(threads).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pruning_core")
