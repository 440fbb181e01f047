"""The reconciler applies the policy, alone or with others, as it was set."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from store import Database, Job, Settings
from tests.service.store.ended import begin, fail, inputs, names_left, pin, save, steps_saved, succeed
from tests.service.store.garden import make_team
from worker.retention import apply_retention


@pytest.fixture
def team(database: Database) -> str:
    """The id of a team."""
    return make_team(database, "team")


def reconcile_once(database_url: str, **settings: object) -> None:
    """One round of a reconciler that has no broker."""
    variables = {f"SECATEUR_{name.upper()}": str(value) for name, value in settings.items()}
    nowhere = {"SECATEUR_DATABASE_URL": database_url, "SECATEUR_BROKER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "worker.reconciler", "--once"]
    subprocess.run(command, env={**os.environ, **nowhere, **variables}, check=True, timeout=60)


def left(database: Database, team: str, jobs: Sequence[str]) -> list[bool]:
    """Of each job, whether its files are there."""
    return [bool(names_left(database, team, job_id)) for job_id in jobs]


def test_a_reconciler_removes_what_its_settings_say(database: Database, database_url: str, team: str) -> None:
    to = inputs(database, team, "a")
    jobs = [succeed(database, begin(database, team, to), quality) for quality in (0.5, 0.9, 0.7, 0.8, 0.1)]
    pin(database, team, jobs[0])
    failed = begin(database, team, to)
    save(database, failed, 10)
    fail(database, failed)
    reconcile_once(database_url)
    assert left(database, team, jobs) == [True] * 5, "nothing is removed unless somebody asked for it"
    assert steps_saved(database, failed.job_id) == [10], "a week has not passed"
    reconcile_once(database_url, result_ttl_s=3600, checkpoint_ttl_s="none")
    assert (left(database, team, jobs), steps_saved(database, failed.job_id)) == ([True] * 5, [10])
    reconcile_once(database_url, result_ttl_s=0, keep_best=2, checkpoint_ttl_s=0)
    assert left(database, team, jobs) == [True, True, False, True, True]
    assert steps_saved(database, failed.job_id) == []
    reconcile_once(database_url, result_ttl_s=0, keep_best=0, keep_last=0)
    assert left(database, team, jobs) == [True, False, False, False, False], "the pinned one's stay"


def test_two_reconcilers_at_once_remove_everything_once(database: Database, database_url: str, team: str) -> None:
    jobs = [succeed(database, begin(database, team), files=["config.json"]) for _ in range(30)]
    failed = [begin(database, team) for _ in range(10)]
    for fence in failed:
        save(database, fence, 10)
        fail(database, fence)
    with database.read() as session:
        before = dict(session.execute(select(Job.id, Job.version)).all())
    settings = Settings(database_url=database_url, result_ttl_s=0, keep_best=0, keep_last=0, checkpoint_ttl_s=0)
    start = threading.Barrier(2)

    def reconcile(_: int) -> None:
        start.wait()
        apply_retention(database, settings)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(reconcile, range(2)))
    assert left(database, team, jobs) == [False] * 30
    assert [steps_saved(database, fence.job_id) for fence in failed] == [[]] * 10
    with database.read() as session:
        after = dict(session.execute(select(Job.id, Job.version)).all())
    assert after == {job_id: version + (job_id in jobs) for job_id, version in before.items()}


def test_a_round_ends_when_others_have_waited_long_enough(
    database: Database, database_url: str, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [succeed(database, begin(database, team)) for _ in range(3)]
    settings = Settings(database_url=database_url, result_ttl_s=0, keep_best=0, keep_last=0)
    with monkeypatch.context() as patch:
        patch.setattr("worker.retention._LONGEST_ROUND_S", -1.0)
        apply_retention(database, settings)
        assert left(database, team, jobs) == [True] * 3
        patch.setattr("worker.retention._LONGEST_ROUND_S", 60.0)
        apply_retention(database, settings)
    assert left(database, team, jobs) == [False] * 3


def test_none_keeps_checkpoints_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().checkpoint_ttl_s == 7 * 24 * 3600
    monkeypatch.setenv("SECATEUR_CHECKPOINT_TTL_S", "none")
    assert Settings().checkpoint_ttl_s is None
