"""Logs: the end of each attempt's output, from its owner only."""

from collections.abc import Callable

import pytest

from store import Database, Fence, FenceLost, NotFound, keep_log, logs_of, requeue_expired
from store.logs import LONGEST_LOG


def read(database: Database, team: str, job_id: str, attempt: int | None = None) -> list[tuple[int, str, int]]:
    with database.read() as session:
        return [(each.attempt, each.text, each.printed) for each in logs_of(session, team, job_id, attempt)]


def test_the_newest_word_replaces_the_last(database: Database, team: str, running: Fence) -> None:
    for text in ("loading", "loading\nstep 1"):
        with database.write() as session:
            keep_log(session, running, text, len(text))
    assert read(database, team, running.job_id) == [(1, "loading\nstep 1", 14)]
    assert read(database, team, running.job_id, attempt=2) == []
    with pytest.raises(NotFound):
        read(database, "another team", running.job_id)


def test_only_the_end_is_kept_and_no_byte_upsets_the_database(database: Database, team: str, running: Fence) -> None:
    with database.write() as session:
        keep_log(session, running, "a" * LONGEST_LOG + "\x00\ud800".encode("utf-8", "replace").decode(), 10**12)
    [(_, text, printed)] = read(database, team, running.job_id)
    assert (len(text), printed) == (LONGEST_LOG, 10**12)
    assert text.endswith("a\ufffd?")


def test_last_words_come_after_the_end_and_an_attempt_that_never_was_has_none(
    database: Database, team: str, running: Fence, lapse: Callable[[Fence], None]
) -> None:
    lapse(running)
    with database.write() as session:
        requeue_expired(session)
    with database.write() as session:
        keep_log(session, running, "I lived", 7)
    assert read(database, team, running.job_id) == [(1, "I lived", 7)]
    with pytest.raises(FenceLost), database.write() as session:
        keep_log(session, Fence(running.job_id, 2), "so did I", 8)
