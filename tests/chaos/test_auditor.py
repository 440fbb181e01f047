"""The auditor must be able to fail: every broken promise, forged into a true story, is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text, update

from store import Database, NewJob, claim_next, create_job, ensure_team, open_database, record_progress, requeue_expired
from store.clock import db_now
from store.endings import finish_succeeded
from store.migrate import upgrade
from store.tables import Attempt, Job
from tests.chaos.auditor import audit


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where an empty database is."""
    made = f"sqlite:///{tmp_path / 'story.db'}"
    upgrade(made)
    return made


@pytest.fixture
def job(url: str) -> str:
    """The id of a job that was lost once, tried again and succeeded, as the store writes it."""
    database = open_database(url)
    with database.write() as session:
        new = NewJob(method="movement", target_sparsity=0.9, spec={})
        job_id = create_job(session, ensure_team(session, "gardeners").id, new).job.id
    _try(database)
    with database.write() as session:
        session.execute(update(Attempt).values(lease_expires_at=db_now(-1.0)))
        requeue_expired(session)
        session.execute(update(Job).values(not_before=None))
    _try(database, succeed=True)
    database.close()
    return job_id


@pytest.fixture
def forge(url: str) -> Iterator[Engine]:
    """A way into the database that asks nobody."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_a_true_story_passes(url: str, job: str) -> None:
    assert not audit(url, [job]).jobs


def test_a_job_that_is_gone_is_lost(url: str, job: str) -> None:
    assert list(audit(url, [job, "job_gone"]).lost) == ["job_gone"]


def test_a_job_that_nobody_was_told_of_is_doubled(url: str, job: str) -> None:
    assert list(audit(url, []).doubled) == [job]
    assert not audit(url, [], undisturbed=[job]).jobs, "unless it was there before"


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param("DELETE FROM event WHERE type = 'succeeded'", id="no end"),
        pytest.param("DELETE FROM event WHERE seq = 3", id="a gap"),
        pytest.param("UPDATE job SET status = 'failed'", id="another end than its last event's"),
    ],
)
def test_a_job_that_did_not_end_as_it_says_is_lost(url: str, job: str, forge: Engine, forgery: str) -> None:
    with forge.begin() as connection:
        connection.execute(text(forgery))
    assert list(audit(url, [job]).lost) == [job]


_EVENT = (
    "INSERT INTO event (job_id, seq, type, at, attempt, data) SELECT id, event_seq + 1, {}, updated_at, 2, {} FROM job"
)
_GROW = "UPDATE job SET event_seq = event_seq + 1"


@pytest.mark.parametrize(
    "forgeries",
    [
        pytest.param([_EVENT.format("'failed'", """'{"status": "failed"}'"""), _GROW], id="two ends"),
        pytest.param([_EVENT.format("'note'", "'{}'"), _GROW], id="more after its end"),
        pytest.param(["UPDATE event SET data = '{}' WHERE type = 'requeued'"], id="started while another was live"),
        pytest.param(["UPDATE attempt SET ended_at = '2999-01-01' WHERE number = 1"], id="attempts overlap"),
        pytest.param(["UPDATE attempt SET ended_at = NULL WHERE number = 1"], id="two live attempts"),
        pytest.param(["DELETE FROM attempt WHERE number = 1"], id="an attempt is missing"),
        pytest.param(["UPDATE metric SET at = '2999-01-01'"], id="a zombie measured"),
    ],
)
def test_a_job_that_ran_or_ended_twice_is_doubled(url: str, job: str, forge: Engine, forgeries: list[str]) -> None:
    with forge.begin() as connection:
        connection.execute(text("DROP INDEX ux_attempt_live"))  # or the database itself would refuse
        for forgery in forgeries:
            connection.execute(text(forgery))
    assert list(audit(url, [job]).doubled) == [job]


def _try(database: Database, *, succeed: bool = False) -> None:
    with database.write() as session:
        claim = claim_next(session, "default", "worker", lease_s=60.0)
    assert claim is not None
    with database.write() as session:
        record_progress(session, claim.fence, step=1, metrics=[("train/loss", claim.fence.attempt, 0.5)])
        if succeed:
            finish_succeeded(session, claim.fence, {}, [], [])
