"""Copies of files on their way into the store: what is checked is what is stored, whatever becomes of the original."""

import hashlib
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from typing import BinaryIO, Self, cast

from api.multipart import FilePart
from api.sources.problems import SourceRefused


class Copies:
    """Copies without names, gone when this is closed.

    Attributes:
        parts: the copies, as files of an upload.
        digests: of each its name and sha256.
    """

    def __init__(self, limit: int, setting: str) -> None:
        """Begin without any.

        Args:
            limit: bytes of all together.
            setting: what sets the limit.
        """
        self._left = limit
        self._too_much = f"it is larger than {limit:,} bytes. Take a smaller one, or let the operator raise {setting}."
        self._open = ExitStack()
        self.parts: list[FilePart] = []
        self.digests: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def require_room(self, sizes: Iterable[int]) -> None:
        """Return if so many bytes may come.

        Raises:
            SourceRefused: They are too many.
        """
        if sum(sizes) > self._left:
            raise SourceRefused(self._too_much)

    def add(self, field: str, name: str, content: Iterable[bytes]) -> None:
        """Copy a file.

        Raises:
            SourceRefused: It is too much.
        """
        file = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with this
        digest = hashlib.sha256()
        size = 0
        for piece in content:
            size += len(piece)
            self.require_room([size])
            digest.update(piece)
            file.write(piece)
        self._left -= size
        file.seek(0)
        self.parts.append(FilePart(field, name, size, cast(BinaryIO, file)))
        self.digests.append((name, digest.hexdigest()))
