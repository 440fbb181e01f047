"""NumPy and compiled loops work on one core: here such work is shared among as many threads as torch uses."""

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

#: Values of one part: small enough to share evenly, large enough that handing it over costs nothing.
PART = 1 << 19

Item = TypeVar("Item")
Result = TypeVar("Result")
#: What each thread of a team calls.
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


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

    They are torch's own threads. These go round in circles for milliseconds after each of torch's operations, on cores
    that threads of ours would wait for: 3 % of a step of MiniLM-L6. What torch does within `work` stays on the thread.

    Args:
        items: shared out in order.
        work: should release the GIL, and not come here again.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    parallel = _openmp()
    if parallel is None:
        return list(_pool(threads).map(work, items))
    results: dict[int, Result] = {}
    failures: list[BaseException] = []
    numbers = iter(range(len(items)))

    def body(_: object) -> None:
        try:
            for number in numbers:
                results[number] = work(items[number])
        except BaseException as failure:  # noqa: BLE001  # exceptions do not pass through C
            failures.append(failure)

    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.object is body and unraisable.exc_value is not None:
            failures.append(unraisable.exc_value)
        else:
            before(unraisable)

    # What a signal's handler raises when `body` is entered, before it can catch anything, ctypes hands to this hook.
    # Handlers run on the main thread alone, so no other thread changes it.
    hears_signals = threading.current_thread() is threading.main_thread()
    if hears_signals:
        sys.unraisablehook = hook
    try:
        parallel(_Body(body), None, threads, 0)
    finally:
        if hears_signals:
            sys.unraisablehook = before
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(items))]


@cache
def _openmp() -> Callable[..., None] | None:
    """What GCC makes of `#pragma omp parallel` (libgomp's ABI, which LLVM's library has, too), of the one torch loaded.

    None where torch has another, or hides it.
    """
    if sys.platform == "win32":
        return None
    parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if parallel is not None:
        parallel.restype, parallel.argtypes = None, [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return parallel


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pruning_core")
