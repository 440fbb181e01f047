"""Looks through a text file once before it is parsed: is it UTF-8, and where not, in which line."""

import codecs
from typing import BinaryIO

from api.datasets.formats.malformed import Malformed

_CHUNK = 1 << 20

_FOREIGN_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def require_utf8(stream: BinaryIO) -> None:
    """Check a whole file and leave it positioned after a byte-order mark, if it has one.

    Raises:
        Malformed: The file is empty, holds a NUL byte, or is not UTF-8.
    """
    start = _start_of_text(stream)
    stream.seek(start)
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1  # the line that the next byte belongs to
    seen = blank = 0
    while chunk := stream.read(_CHUNK):
        seen += len(chunk)
        blank += len(chunk) - len(chunk.lstrip()) if seen - len(chunk) == blank else 0
        if (nul := chunk.find(b"\0")) >= 0:
            raise Malformed("a NUL byte. The file must be plain text.", line=lines + chunk.count(b"\n", 0, nul))
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            # error.object is the chunk with the bytes of a character that the last chunk left unfinished before it
            line = lines + error.object.count(b"\n", 0, error.start)
            raise Malformed("not UTF-8. Save the file with UTF-8 encoding.", line=line) from error
        lines += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Malformed("the last character is cut off. Save the file with UTF-8 encoding.", line=lines) from error
    if seen == blank:
        raise Malformed("the file is empty.")
    stream.seek(start)


def _start_of_text(stream: BinaryIO) -> int:
    stream.seek(0)
    head = stream.read(4)
    for mark, name in _FOREIGN_MARKS.items():
        if head.startswith(mark):
            raise Malformed(f"the file is {name}, not UTF-8. Save it with UTF-8 encoding.", line=1)
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
