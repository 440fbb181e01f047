"""Files in pieces, so that none is ever in memory as a whole."""

from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE_BYTES = 4 * 2**20


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, over what was there."""
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
