"""What workers offer, as far as anybody has seen them lately."""

from sqlalchemy import select, update

from store import Database, announce_worker, most_gpus_offered
from store.clock import db_now
from store.tables import Worker
from store.workers import SEEN_S


def announce(database: Database, name: str, gpus: int) -> None:
    with database.write() as session:
        announce_worker(session, name, gpus)


def most(database: Database) -> int:
    with database.read() as session:
        return most_gpus_offered(session)


def silent_for(database: Database, name: str, seconds: float) -> None:
    with database.write() as session:
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=db_now(-seconds)))


def test_the_most_that_a_worker_offers_counts(database: Database) -> None:
    assert most(database) == 0
    for name, gpus in (("small", 1), ("large", 4), ("middle", 2)):
        announce(database, name, gpus)
    assert most(database) == 4


def test_a_worker_is_what_it_said_last(database: Database) -> None:
    announce(database, "w", 4)
    announce(database, "w", 2)
    assert most(database) == 2


def test_a_worker_that_is_not_heard_of_counts_no_more_and_is_forgotten(database: Database) -> None:
    announce(database, "old", 8)
    announce(database, "new", 1)
    silent_for(database, "old", SEEN_S - 60)
    assert most(database) == 8
    silent_for(database, "old", SEEN_S + 60)
    assert most(database) == 1
    silent_for(database, "old", 2 * 86_400)
    announce(database, "new", 1)
    with database.read() as session:
        assert session.scalars(select(Worker.name)).all() == ["new"]
