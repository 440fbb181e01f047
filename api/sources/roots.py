"""Files below the roots that the operator allows, and nothing else, whatever links lead where.

A path is resolved first and must still lie below a root; then it is opened anew from that root, one name at a time and
without following any link. So whoever swaps a folder for a link between the two is refused, not followed.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from api.sources.problems import SourceRefused
from store import Settings

_PIECE_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK: to open a pipe that nobody writes would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def roots_of(settings: Settings) -> list[Path]:
    """The roots as they really are.

    Raises:
        SourceRefused: There is none.
    """
    named = [name for name in (settings.file_roots or "").split(os.pathsep) if name]
    if not named:
        raise SourceRefused(
            "this service reads no file:// paths. Upload it, or let the operator name folders in SECATEUR_FILE_ROOTS."
        )
    return [Path(os.path.realpath(name)) for name in named]


class Below:
    """A file or folder below one of the roots."""

    def __init__(self, roots: Sequence[Path], path: str) -> None:
        """Find it.

        Args:
            roots: the roots, resolved; the first that has the path counts.
            path: relative, without `..`.

        Raises:
            SourceRefused: There is no such thing below any root.
        """
        self._roots = roots
        found = (root / path for root in roots if os.path.lexists(root / path))
        self.path = self._resolved(next(found, None), path)

    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    def names(self) -> list[str]:
        """The files in the folder; other folders, hidden files and those whose names are no text count as not there.

        Raises:
            SourceRefused: It cannot be read.
        """
        try:
            names = (entry.name for entry in os.scandir(self.path) if entry.is_file())
            return sorted(name for name in names if name.isprintable() and not name.startswith("."))
        except OSError as error:
            raise SourceRefused(f"{self.path.name!r} cannot be read: {error.strerror}.") from error

    def read(self, name: str = "") -> Iterator[bytes]:
        """Yield the bytes of a file in the folder, or of the file itself.

        Raises:
            SourceRefused: It is no plain file below a root, or cannot be read.
        """
        path = self._resolved(self.path / name, name or self.path.name)
        try:
            descriptor = self._opened(path)
        except OSError as error:
            raise SourceRefused(f"{path.name!r} cannot be read: {error.strerror}.") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceRefused(f"{path.name!r} is not a plain file.")
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def _resolved(self, path: Path | None, name: str) -> Path:
        try:
            real = None if path is None else Path(os.path.realpath(path, strict=True))
        except OSError:
            real = None
        # One answer for what is not there and what lies elsewhere: what is outside is not even said to exist.
        if real is None or self._root_of(real) is None:
            raise SourceRefused(
                f"there is nothing called {name!r} below the service's roots (SECATEUR_FILE_ROOTS). Links that leave "
                "them are not followed."
            )
        return real

    def _root_of(self, path: Path) -> Path | None:
        return next((root for root in self._roots if path.is_relative_to(root)), None)

    def _opened(self, path: Path) -> int:
        """Open a resolved path from its root, following no link."""
        root = self._root_of(path)
        assert root is not None
        *folders, name = path.relative_to(root).parts
        with ExitStack() as opened:
            here = os.open(root, _FOLDER)
            opened.callback(os.close, here)
            for folder in folders:
                here = os.open(folder, _FOLDER, dir_fd=here)
                opened.callback(os.close, here)
            return os.open(name, _FILE, dir_fd=here)
