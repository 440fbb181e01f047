"""Hands a file on in portions that a slow client can take, each read in a thread and none before it is wanted."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

from starlette.concurrency import iterate_in_threadpool

#: What waits for a client that does not read; one that takes longer than `api.protocol` allows for it is gone.
PORTION_BYTES: Final = 256 * 2**10


async def in_portions(content: Iterator[bytes]) -> AsyncIterator[memoryview]:
    """The same bytes in portions: one thread's work for a chunk, and as many sends as it takes."""
    async for piece in iterate_in_threadpool(content):
        whole = memoryview(piece)
        for start in range(0, len(whole), PORTION_BYTES):
            yield whole[start : start + PORTION_BYTES]
