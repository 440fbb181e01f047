"""Parts of a file: the Range header of RFC 9110, 14, and the answer with several parts (14.6)."""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from api.problems import RangeNotSatisfiable

#: One range of a set. More digits than these are in no file's size.
_RANGE = re.compile(r"(\d{0,19})-(\d{0,19})")
#: Of more ranges than this nobody has need; RFC 9110, 14.2 warns of those who ask for thousands.
MOST_RANGES = 32


@dataclass(frozen=True)
class Span:
    """The bytes from `start` up to, but without, `end`."""

    start: int
    end: int

    def of(self, size: int) -> str:
        """As the value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def wanted_spans(header: str, size: int) -> list[Span] | None:
    """What a Range header asks for, ascending, those that touch or overlap made one.

    Args:
        header: its value.
        size: of the file.

    Returns:
        None for the whole file: where there is no such header, it is not understood, or it asks for too many ranges.

    Raises:
        RangeNotSatisfiable: it asks for no byte of the file.
    """
    unit, _, ranges = header.replace(" ", "").replace("\t", "").partition("=")
    listed = [each for each in ranges.split(",") if each]  # lists may have empty elements (5.6.1)
    if unit.lower() != "bytes" or not listed or len(listed) > MOST_RANGES:
        return None
    spans = []
    for each in listed:
        found = _RANGE.fullmatch(each)
        if found is None or each == "-" or (found[1] and found[2] and int(found[2]) < int(found[1])):
            return None
        if found[1]:
            span = Span(int(found[1]), min(int(found[2]) + 1, size) if found[2] else size)
        else:
            span = Span(max(size - int(found[2]), 0), size)
        if span.start < span.end:
            spans.append(span)
    if not spans:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes; ask for a range inside it.", headers={"Content-Range": f"bytes */{size}"}
        )
    return _merged(spans)


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


class Multipart:
    """The body of an answer with several ranges, as `multipart/byteranges`."""

    def __init__(self, spans: Sequence[Span], size: int, media_type: str) -> None:
        """Lay it out.

        Args:
            spans: what each part holds.
            size: of the file.
            media_type: of the file.
        """
        boundary = secrets.token_hex(16)
        self.media_type = f"multipart/byteranges; boundary={boundary}"
        self._parts = [
            (f"--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {span.of(size)}\r\n\r\n".encode(), span)
            for span in spans
        ]
        self._end = f"--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(len(head) + span.end - span.start + 2 for head, span in self._parts) + len(self._end)

    def body(self, read: Callable[[int, int], Iterator[bytes]]) -> Iterator[bytes]:
        """The bytes, those of the file read piece by piece."""
        for head, span in self._parts:
            yield head
            yield from read(span.start, span.end)
            yield b"\r\n"
        yield self._end
