"""A reconciler's rounds: what breaks in one, and what follows when the database was away."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url, update
from sqlalchemy.exc import OperationalError

from store import Database, Fence, LeaseAnswer, Settings, claim_next, renew, requeue_expired
from store.clock import db_now
from store.tables import Attempt
from tests.service.store.garden import make_team, submit_for
from tests.service.store.virtual_clock import VirtualClock
from tests.service.worker.running import until
from worker.rounds import each_in_turn, repeat

SETTINGS = Settings(renew_s=2.0, reconcile_s=0.5)


def claim(database: Database) -> Fence:
    """The fence of a job that runs."""
    submit_for(database, make_team(database, "team"))
    with database.write() as session:
        claimed = claim_next(session, "default", "worker-1", 60.0)
    assert claimed is not None
    return claimed.fence


def renews(database: Database, fence: Fence) -> bool:
    """Whether the job's owner still is its owner, now that it can renew."""
    with database.write() as session:
        return renew(session, fence, 60.0) is LeaseAnswer.KEEP


@contextmanager
def rounds(database: Database) -> Iterator[list[int]]:
    """Makes them meanwhile; yields how many jobs each takes back."""
    taken: list[int] = []
    stop = threading.Event()

    def one_round() -> None:
        with database.write() as session:
            taken.append(len(requeue_expired(session)))

    thread = threading.Thread(target=repeat, args=(one_round, database, SETTINGS, stop))
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


@contextmanager
def outage(database: Database) -> Iterator[list[int]]:
    """The same, which began while the database could not be opened, and now it can."""
    file = Path(str(make_url(database.engine.url).database))
    database.close()
    hidden = file.rename(file.with_suffix(".hidden"))
    file.mkdir()
    with rounds(database) as taken:
        time.sleep(0.3)
        file.rmdir()
        hidden.rename(file)
        yield taken


def test_after_an_outage_owners_renew_before_the_jobs_of_the_dead_are_taken(sqlite_database: Database) -> None:
    alive, dead = claim(sqlite_database), claim(sqlite_database)
    with sqlite_database.write() as session:
        session.execute(update(Attempt).values(lease_expires_at=db_now(-1.0)))
    with outage(sqlite_database) as taken:
        time.sleep(0.8)  # the owner hears of it later than the reconciler
        assert renews(sqlite_database, alive)
        until(lambda: taken)
    assert taken[0] == 1
    assert renews(sqlite_database, alive)
    assert not renews(sqlite_database, dead)


def test_when_the_databases_clock_has_jumped_owners_renew_first_too(sqlite_database: Database) -> None:
    with closing(VirtualClock(sqlite_database)) as clock:
        fence = claim(sqlite_database)
        with rounds(sqlite_database) as taken:
            until(lambda: taken)
            clock.wait_until(clock.now + timedelta(hours=1))
            before = len(taken)
            time.sleep(0.8)  # the next round has begun
            assert renews(sqlite_database, fence)
            until(lambda: len(taken) > before)
        assert set(taken) == {0}


def test_a_part_that_breaks_leaves_the_others_their_turn() -> None:
    done: list[str] = []

    def breaks(error: Exception) -> None:
        raise error

    each_in_turn([partial(breaks, ValueError("a bad row")), partial(done.append, "rung")])
    assert done == ["rung"]
    away = OperationalError("SELECT 1", None, Exception("gone"))
    with pytest.raises(OperationalError):
        each_in_turn([partial(breaks, away), partial(done.append, "rung")])
    assert done == ["rung"], "without the database there is no use in trying the rest"
