"""Unpacking one file into the model directory that it was made of, a block of a tensor at a time."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pruning_core.packed.coding import decompress
from pruning_core.packed.files import MOST_FILES, WEIGHTS, why_not_together, why_refused
from pruning_core.packed.frames import Cursor, Frame, PackedError, read_frames
from pruning_core.packed.kinds import BLOCK, CONTENTS, END, HEAD, HEADER
from pruning_core.packed.layout import LONGEST_HEADER, tensors_of
from pruning_core.packed.values import decode_block

#: What is unpacked without asking: 64 GiB, and as many times the packed file's bytes.
MOST_BYTES = 64 << 30
MOST_TIMES = 5000
_ALWAYS_ALLOWED = 16 << 20
_LONGEST_HEAD = 1 << 20
_PIECE = 4 << 20
#: No file is larger, and numbers without bounds are slow to write out.
_LARGEST = 1 << 62


@dataclass(frozen=True)
class PackedFile:
    """A file of a packed model: its name and how many bytes it will have."""

    name: str
    bytes: int


def unpack(file: str | Path, directory: str | Path, *, most_bytes: int | None = None) -> list[Path]:
    """Restore a model directory.

    What was packed as fp32 is the same files again, to the last bit; otherwise tensors are rounded and keep their type.

    Args:
        file: the packed model.
        directory: made; it must not exist, or be empty.
        most_bytes: how much it may unpack to; default: 64 GiB, and at most 5,000 times the file's size.

    Returns:
        The files.

    Raises:
        PackedError: the file is none, or damaged, or would unpack to more; nothing is left behind then.
        FileExistsError: the directory has files already.
        FileNotFoundError: there is no such file.
    """
    file, directory = Path(file), Path(directory)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there, or is no plain file. Name a packed model.")
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} has files already. Name a directory that is not there yet.")
    place = directory.resolve()  # what a link leads to, and what "." is: neither can be replaced by that name
    missing = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as scratch:
            fresh = Path(scratch) / "model"
            names = list(_write(file, fresh, most_bytes))
            fresh.replace(place)
    except BaseException:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise
    return [directory / name for name in names]


def _write(file: Path, directory: Path, most_bytes: int | None) -> Iterator[str]:
    """Write the files one after another; names each when it is whole."""
    directory.mkdir()
    with file.open("rb") as stream:
        size = file.stat().st_size
        reader = _Reader(read_frames(stream, size))
        if most_bytes is None:
            most_bytes = min(MOST_BYTES, max(_ALWAYS_ALLOWED, MOST_TIMES * size))
        for entry in reader.files(most_bytes):
            path = directory / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as output:
                for piece in reader.contents(entry):
                    output.write(piece)
            yield entry.name
        reader.finish()


class _Reader:
    """Reads frames in the order in which they must come, and remembers what it has restored."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._restored = hashlib.sha256()

    def files(self, most_bytes: int) -> list[PackedFile]:
        """What the file holds, by its head."""
        head = _decompressed(self._next(HEAD), _LONGEST_HEAD)
        try:
            entries = [(entry["name"], entry["bytes"]) for entry in json.loads(head)["files"]]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PackedError(f"The head of the file cannot be used: {error}.") from error
        sound = all(isinstance(name, str) and type(size) is int and 0 <= size < _LARGEST for name, size in entries)
        if not sound or len(entries) > MOST_FILES:
            raise PackedError(f"The head of the file does not name up to {MOST_FILES:,} files with their sizes.")
        found = [PackedFile(name, size) for name, size in entries]
        for entry in found:
            if reason := why_refused(entry.name):
                raise PackedError(f"The file holds what no packed model may: {reason}.")
        if reason := why_not_together([entry.name for entry in found]):
            raise PackedError(f"The head of the file cannot be used: {reason}.")
        total = sum(entry.bytes for entry in found)
        if total > most_bytes:
            raise PackedError(
                f"It would unpack to {total:,} bytes, and {most_bytes:,} are allowed. If it comes from someone you "
                "trust, allow more with most_bytes (secateur unpack --most-bytes)."
            )
        return found

    def contents(self, entry: PackedFile) -> Iterator[bytes]:
        """A file's bytes in pieces; all must be taken before the next file's."""
        pieces = self._weights(entry) if entry.name.endswith(WEIGHTS) else self._text(entry)
        for piece in pieces:
            self._restored.update(piece)
            yield piece

    def finish(self) -> None:
        """Check that everything was restored as it was packed, and that nothing follows."""
        if self._next(END) != self._restored.digest():
            raise PackedError("What it unpacks to is not what was packed: it is damaged. Get it again.")
        next(self._frames, None)  # looks for more

    def _text(self, entry: PackedFile) -> Iterator[bytes]:
        left = entry.bytes
        while left:
            piece = _decompressed(self._next(CONTENTS), min(left, _PIECE))
            left -= len(piece)
            yield piece

    def _weights(self, entry: PackedFile) -> Iterator[bytes]:
        header = _decompressed(self._next(HEADER), min(entry.bytes, LONGEST_HEADER))
        yield len(header).to_bytes(8, "little") + header
        for tensor in tensors_of(header, entry.bytes):
            for block in tensor.blocks():
                yield decode_block(self._next(BLOCK), block)

    def _next(self, kind: bytes) -> bytes:
        frame = next(self._frames, None)
        if frame is None:
            raise PackedError("The file breaks off: it is damaged. Get it again.")
        if frame.kind != kind:
            raise PackedError(f"The file has {frame.kind!r} where {kind!r} belongs: it is damaged. Get it again.")
        return frame.payload


def _decompressed(payload: bytes, most: int) -> bytes:
    """Compressed bytes behind the number of how many they are."""
    cursor = Cursor(payload)
    count = cursor.number()
    if not 0 < count <= most:
        raise PackedError("A part of the file says that it is longer than it may be: it is damaged.")
    return decompress(cursor.rest(), count)
