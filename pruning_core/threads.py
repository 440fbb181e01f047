"""NumPy and compiled loops work on one core: here such work is shared among as many threads as torch uses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

#: Values of one part: small enough to share evenly, large enough that handing it over costs nothing.
PART = 1 << 19

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parts(length: int, work: Callable[[slice], Result]) -> list[Result]:
    """Do work on consecutive parts of arrays of a length. The parts are the same on every machine.

    Args:
        length: of the arrays, which share it.
        work: gets a part's place, and should release the GIL, as NumPy's functions do.

    Returns:
        What it gave, part by part.
    """
    return on_threads([slice(start, min(start + PART, length)) for start in range(0, length, PART)], work)


def on_threads(items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """Do work on items, each on one thread; returns what it gave, in their order.

    Args:
        items: shared out in order.
        work: should release the GIL, and not come here again.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    return list(_pool(threads).map(work, items))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pruning_core")
