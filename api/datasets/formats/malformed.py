"""What a reader raises about a file."""


class Malformed(ValueError):
    """A file cannot be taken; the message says what to do, `line` where it went wrong (from 1)."""

    def __init__(self, reason: str, *, line: int | None = None, row: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.row = row

    def describe(self, filename: str) -> str:
        """The message with its place."""
        place = f", line {self.line}" if self.line else f", row {self.row}" if self.row else ""
        return f"{filename}{place}: {self.reason}"
