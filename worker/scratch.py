"""The folder where attempts unpack and write: one private folder each, and none left behind by the dead."""

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_PREFIX = "job_"
_LOCK = ".lock"
#: Below this a worker claims nothing: not even a small model would fit.
_LEAST_FREE_BYTES = 64 * 2**20
#: To make and lock a folder takes no time; so much, in seconds, leaves room for clocks that are set.
_LONGEST_MAKING_S = 6 * 3600.0


class Scratch:
    """A scratch folder, possibly shared by several workers of one host.

    An attempt's folder is locked (flock) by the supervisor that made it. The kernel drops the lock with the process,
    however it ends, so that a folder that can be locked belongs to nobody.
    """

    def __init__(self, root: Path) -> None:
        """Remember the folder; it is made when it is needed."""
        self._root = root

    def check(self) -> None:
        """Make the folder if it is missing, and see that it can be used.

        Raises:
            OSError: it cannot be written, is full, or belongs to somebody who could swap what is in it.
        """
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)
        shared = self._root.parent.stat().st_mode & stat.S_IWOTH  # such as /tmp, where anybody may have made it first
        if shared and self._root.stat().st_uid not in (0, os.getuid()):
            raise PermissionError(errno.EPERM, "The scratch folder belongs to another user", str(self._root))
        if not os.access(self._root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "The scratch folder cannot be written", str(self._root))
        if shutil.disk_usage(self._root).free < _LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, "The scratch folder's disk is full", str(self._root))

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """An empty private folder for one attempt, removed afterwards.

        Raises:
            OSError: it cannot be made.
        """
        path = self._root / name
        shutil.rmtree(path, ignore_errors=True)  # only a restored database gives out a number twice
        descriptor = self._made_and_locked(path)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove the folders of attempts whose supervisor is dead."""
        for path in self._root.glob(f".{_PREFIX}*"):  # its maker ended before it had its name
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _LONGEST_MAKING_S:
                    shutil.rmtree(path, ignore_errors=True)
        for path in self._root.glob(f"{_PREFIX}*"):
            try:
                descriptor = _locked(path)
            except OSError:
                continue  # in use, or gone meanwhile
            try:
                shutil.rmtree(path, ignore_errors=True)
                log.info("scratch_swept", folder=path.name)
            finally:
                os.close(descriptor)

    def _made_and_locked(self, path: Path) -> int:
        """Make a folder under another name first: nobody may sweep it before it is locked."""
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.mkdir(mode=0o700)
        descriptor = _locked(new)
        try:
            new.rename(path)
        except OSError:
            os.close(descriptor)
            shutil.rmtree(new, ignore_errors=True)
            raise
        return descriptor


def _locked(path: Path) -> int:
    """Lock a folder and return the descriptor that holds the lock; OSError if another process has it."""
    # A file, because network file systems lock no folders.
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
