"""The data directory of one embedded service: its files, their modes, and who may use it."""

import json
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from secateur.address import KEY_FILE, SERVICE_FILE
from secateur.errors import DataDirBusy, EmbeddedError

# A log that has grown past this moves aside when the service starts.
LOG_BYTES = 16 * 2**20


class DataDir:
    """Paths below the directory; everything in it is readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        if "?" in str(self.path):
            raise EmbeddedError(f"{self.path}: a data directory's path cannot hold a `?`; choose another --data-dir.")
        self.logs = self.path / "logs"
        self.scratch = self.path / "scratch"
        self.database = self.path / "secateur.db"
        self.key_file = self.path / KEY_FILE
        self.secret_file = self.path / "server.secret"
        self.service_file = self.path / SERVICE_FILE

    @property
    def database_url(self) -> str:
        """The database's SQLAlchemy URL."""
        return f"sqlite:///{self.database}"

    def environment(self) -> dict[str, str]:
        """The settings that say where everything is kept, and what its keys' hashes are keyed with."""
        secret = self.secret_file.read_text(encoding="utf-8").strip() if self.secret_file.exists() else ""
        return {"SECATEUR_DATABASE_URL": self.database_url, "SECATEUR_SERVER_SECRET": secret}

    def see_to_secret(self) -> None:
        """Make the server's secret with a new database; the keys of one that is there were made without."""
        if not self.database.exists() and not self.secret_file.exists():
            write_private(self.secret_file, secrets.token_hex(32) + "\n")

    def log(self, name: str) -> Path:
        """The log file of the process `name`."""
        return self.logs / f"{name}.log"

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Make the directory and hold it for this process alone; the kernel lets go of it even after a crash.

        Raises:
            DataDirBusy: Another process holds it.
            EmbeddedError: It cannot be made or written.
        """
        import fcntl  # POSIX only, like the embedded service; the client imports everywhere

        try:
            for path in (self.path, self.logs, self.scratch):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"The data directory {self.path} cannot be used: {error.strerror}. Choose another with --data-dir."
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirBusy(self.path, self._owner()) from None
            for log in self.logs.glob("*.log"):
                if log.stat().st_size > LOG_BYTES:
                    log.replace(log.with_suffix(".log.1"))
            yield
        finally:
            os.close(lock)

    def read_key(self) -> str:
        """The admin key."""
        return self.key_file.read_text(encoding="utf-8").strip()

    def announce(self, entry: Mapping[str, object]) -> None:
        """Tell the commands of this user where the service is."""
        write_private(self.service_file, json.dumps(entry, indent=2) + "\n")

    def withdraw(self) -> None:
        """The service is no more."""
        self.service_file.unlink(missing_ok=True)

    def _owner(self) -> str:
        try:
            entry: object = json.loads(self.service_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it is still starting: then there is nothing more to say about it
            return ""
        if not isinstance(entry, dict):
            return ""
        return f" (process {entry.get('pid')}, {entry.get('url')})"


def write_private(path: Path, text: str) -> None:
    """Write a file in one step (temporary, fsync, rename), mode 0600 from its first byte."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
