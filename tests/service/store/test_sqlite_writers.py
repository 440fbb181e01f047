"""SQLite with several writing processes: they queue, and nobody hears that the database is locked."""

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select

from store import Database, Job
from store.tables import BlobChunk, Event

WRITER = Path(__file__).with_name("writing_process.py")
PROCESSES = 4
ROUNDS = 20


def test_processes_that_write_at_once_wait_for_each_other(sqlite_database: Database, sqlite_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(WRITER), sqlite_url, str(ROUNDS)]
    writers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors) == (0, "")
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == PROCESSES * ROUNDS
        assert session.scalar(select(func.count()).select_from(Event)) == PROCESSES * ROUNDS
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == PROCESSES * ROUNDS
