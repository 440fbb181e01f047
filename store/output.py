"""Where logs go: to a stream that may break, as on a full disk, without breaking who writes them."""

import sys
from contextlib import suppress
from typing import TextIO


class BestEffort:
    """Writes to a stream as far as that works. What cannot be written is lost; the work it was about is not."""

    def __init__(self, name: str) -> None:
        """Name the stream.

        Args:
            name: `stdout` or `stderr`; which of them is looked up at each write, since it may be redirected.
        """
        self._name = name

    def write(self, text: str) -> int:
        """Write, or not; returns how many characters that were given."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream().write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, or not."""
        with suppress(OSError, ValueError):
            self._stream().flush()

    def _stream(self) -> TextIO:
        stream: TextIO = getattr(sys, self._name)
        return stream
