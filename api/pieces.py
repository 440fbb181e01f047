"""Reads files piece by piece."""

from collections.abc import Iterator
from typing import Protocol

PIECE_BYTES = 1 << 20


class Readable(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes."""


def pieces(file: Readable) -> Iterator[bytes]:
    """The rest of a file in pieces of 1 MiB."""
    while piece := file.read(PIECE_BYTES):
        yield piece
