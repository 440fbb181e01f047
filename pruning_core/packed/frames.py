"""A packed file as a stream of frames: a kind, a length, a payload and its checksum, one behind another.

`docs/packed-format.md` is the specification. Nothing here knows what a payload means.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pruning_core.packed.kinds import END

#: A byte that is no text, the name, and the line ends that a transfer as text would change; then the version.
MAGIC = b"\x89SECATEUR\r\n\x1a\n"
VERSION = 1
#: No frame is longer: a block of `blocks.MOST_ITEMS` items of eight bytes, and what describes it.
LONGEST_FRAME = 40 << 20

_CHECKSUM_BYTES = 4


class PackedError(ValueError):
    """The file is no packed model, is damaged, or would unpack to more than is allowed; or a model cannot be packed."""


def varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first, each but the last with its high bit set (LEB128)."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(data: bytes) -> bytes:
    """Bytes behind their own length."""
    return varint(len(data)) + data


class Cursor:
    """Reads a payload from front to back; asking for more than it has is an error, never a short answer."""

    def __init__(self, payload: bytes | memoryview) -> None:
        self._payload = memoryview(payload)
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._at == len(self._payload)

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        if count > len(self._payload) - self._at:
            raise PackedError("A part of the file is shorter than it says: it is damaged.")
        taken = self._payload[self._at : self._at + count]
        self._at += count
        return taken

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """The next `varint`, of at most 63 bits."""
        number = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return number
        raise PackedError("A number in the file has no end: it is damaged.")

    def sized(self) -> memoryview:
        """Bytes behind their own length."""
        return self.take(self.number())

    def rest(self) -> memoryview:
        """All that is left."""
        return self.take(len(self._payload) - self._at)


@dataclass(frozen=True)
class Frame:
    """One frame: what it is, in a letter, and what it holds."""

    kind: bytes
    payload: bytes


def write_start(stream: BinaryIO) -> int:
    """Begin a file; returns the bytes written."""
    return stream.write(MAGIC + bytes([VERSION]))


def write_frame(stream: BinaryIO, frame: Frame) -> int:
    """Append a frame; returns the bytes written."""
    start = frame.kind + varint(len(frame.payload))
    checksum = zlib.crc32(frame.payload, zlib.crc32(start))
    return stream.write(start + frame.payload + checksum.to_bytes(_CHECKSUM_BYTES, "little"))


def read_frames(stream: BinaryIO, size: int) -> Iterator[Frame]:
    """The frames of a file, each whole and with the right checksum.

    Args:
        stream: at the file's first byte.
        size: of the whole file; no frame may claim more than is left of it.

    Raises:
        PackedError: it is not one, of another version, cut off, or damaged; or goes on behind its end.
    """
    start = stream.read(len(MAGIC) + 1)
    if start[: len(MAGIC)] != MAGIC:
        raise PackedError("This is no packed model: it does not begin like one.")
    if len(start) == len(MAGIC):
        raise PackedError("The file breaks off: it is damaged. Get it again.")
    if start[-1] != VERSION:
        raise PackedError(
            f"It is of version {start[-1]}, and this release of Secateur reads "
            f"version {VERSION}. Unpack it with the release that packed it, or with a newer one."
        )
    left = size - len(start)
    while left:
        frame, length = _read_frame(stream, left)
        left -= length
        yield frame
        if frame.kind == END and left:
            raise PackedError("The file goes on behind its end: it is damaged. Get it again.")


def _read_frame(stream: BinaryIO, left: int) -> tuple[Frame, int]:
    """The next frame, and how long it is with all that belongs to it."""
    head = bytearray(_exactly(stream, 2))
    while head[-1] > 0x7F and len(head) < 6:
        head += _exactly(stream, 1)
    length = Cursor(bytes(head[1:])).number()
    whole = len(head) + length + _CHECKSUM_BYTES
    if length > LONGEST_FRAME or whole > left:
        raise PackedError("The file breaks off, or one of its lengths is wrong: it is damaged. Get it again.")
    payload = _exactly(stream, length)
    checksum = int.from_bytes(_exactly(stream, _CHECKSUM_BYTES), "little")
    if checksum != zlib.crc32(payload, zlib.crc32(bytes(head))):
        raise PackedError("A checksum in the file is wrong: it is damaged. Get it again.")
    return Frame(bytes(head[:1]), payload), whole


def _exactly(stream: BinaryIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) != count:
        raise PackedError("The file breaks off: it is damaged. Get it again.")
    return found
