"""A team with jobs, and shorthands for what the engine's story is told with."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import update

from store import Claim, Database, Fence, Job, NewJob, claim_next, create_job, ensure_team, get_job
from store.clock import db_now
from store.tables import Attempt
from tests.service.store.virtual_clock import VirtualClock


@pytest.fixture
def team(database: Database) -> str:
    """The id of a team."""
    with database.write() as session:
        return ensure_team(session, "gardeners").id


@pytest.fixture
def clock(database: Database) -> Iterator[VirtualClock]:
    """The database's clock, moved by hand; a test asks for it before all that writes."""
    clock = VirtualClock(database)
    yield clock
    clock.close()


@pytest.fixture
def submit(database: Database, team: str) -> Callable[..., str]:
    """Queues a job of the team, with fields of `NewJob` as wanted, and returns its id."""

    def submit(**wanted: Any) -> str:
        wanted = {"method": "movement", "target_sparsity": 0.9, "spec": {"method": "movement"}, **wanted}
        with database.write() as session:
            return create_job(session, team, NewJob(**wanted)).job.id

    return submit


@pytest.fixture
def claim(database: Database) -> Callable[[], Claim | None]:
    """Claims the next job of the default queue."""

    def claim() -> Claim | None:
        with database.write() as session:
            return claim_next(session, "default", "worker-1", lease_s=60.0)

    return claim


@pytest.fixture
def running(submit: Callable[..., str], claim: Callable[[], Claim | None]) -> Fence:
    """The fence of a job that runs."""
    job_id = submit()
    claimed = claim()
    assert claimed is not None
    assert claimed.fence.job_id == job_id
    return claimed.fence


@pytest.fixture
def look(database: Database, team: str) -> Callable[[str], Job]:
    """Reads a job as it is now."""

    def look(job_id: str) -> Job:
        with database.read() as session:
            return get_job(session, team, job_id)

    return look


@pytest.fixture
def lapse(database: Database) -> Callable[[Fence], None]:
    """Lets a lease run out at once, as if its worker had been silent for long."""

    def lapse(fence: Fence) -> None:
        with database.write() as session:
            session.execute(
                update(Attempt)
                .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
                .values(lease_expires_at=db_now(-1.0))
            )

    return lapse
