"""The store as a state machine: whatever workers, users and clocks do in whatever order, the promises hold.

`THOROUGH=50 pytest …` tries fifty times as many stories. To extend it, add what workers write and users ask to
`verbs.py`; anything else is a rule here, with what the ledger expects of it.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from store import (
    Database,
    Fence,
    FenceLost,
    LeaseAnswer,
    NewJob,
    TransitionRefused,
    claim_next,
    create_job,
    ensure_team,
    open_database,
    peek,
    renew,
    requeue_expired,
)
from tests.service.store.ledger import Ledger
from tests.service.store.observing import Promises, everything, records
from tests.service.store.verbs import ENDINGS, REQUESTS, WORK, Write
from tests.service.store.virtual_clock import VirtualClock

THOROUGH = int(os.environ.get("THOROUGH", "1"))
PATIENCE = 15
"""How many steps a user waits before asking for something: a cancel ends a job before much has happened to it."""


@dataclass(slots=True)
class Worker:
    """A virtual worker: it knows its fence, right or wrong, and nothing else."""

    name: str
    fence: Fence | None = None
    vanished: bool = False  # silent; it may come back and go on as if nothing had happened


def one_of(choices: "Callable[[StoreMachine], list[Any]]") -> st.SearchStrategy[Any]:
    """Draw from what there is at this point of the story."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


class StoreMachine(RuleBasedStateMachine):
    """Three workers, a reconciler and users with one database and one clock, all driven by chance."""

    def __init__(self, empty: Callable[[], Database]) -> None:
        super().__init__()
        self.database = empty()
        self.clock = VirtualClock(self.database)
        self.ledger = Ledger(lambda: self.clock.now)
        self.workers = [Worker("ada"), Worker("bea"), Worker("cyd")]
        self.fences: list[Fence] = []  # every one ever given out
        self.promises = Promises()
        self.patience = PATIENCE
        with self.database.write() as session:
            self.team = ensure_team(session, "team").id

    def teardown(self) -> None:
        """Let the database go."""
        self.database.close()
        self.clock.close()

    def idle(self) -> list[Worker]:
        """Those that could claim."""
        return [worker for worker in self.workers if not worker.vanished and worker.fence is None]

    def busy(self) -> list[Worker]:
        """Those that believe that they own a job."""
        return [worker for worker in self.workers if not worker.vanished and worker.fence is not None]

    def zombies(self) -> list[Fence]:
        """Fences that are good no more; those whose job has another owner now come first, for they could do harm."""
        lost = [fence for fence in self.fences if not self.ledger.owns(fence)]
        owned = {fence.job_id for fence in self.ledger.owners()}
        return [fence for fence in lost if fence.job_id in owned] or lost

    @precondition(lambda self: len(self.ledger.unfinished()) < 2)  # few jobs, so that much happens to each
    @rule(priority=st.integers(0, 1), most=st.integers(1, 4), max_runtime_s=st.sampled_from([45.0, 86_400.0]))
    def submit(self, priority: int, most: int, max_runtime_s: float) -> None:
        """A user submits a job."""
        new = NewJob(
            method="movement",
            target_sparsity=0.5,
            spec={},
            priority=priority,
            max_attempts=most,
            max_runtime_s=max_runtime_s,
        )
        with self.database.write() as session:
            job_id = create_job(session, self.team, new).job.id
        self.ledger.submit(job_id, priority=priority, most=most, max_runtime_s=max_runtime_s)

    @precondition(lambda self: self.idle() and self.ledger.jobs)
    @rule(worker=one_of(lambda self: self.idle()), lease_s=st.sampled_from([20.0, 60.0]))
    def claim(self, worker: Worker, lease_s: float) -> None:
        """A worker claims, and gets the job whose turn it is."""
        with self.database.write() as session:
            claimed = claim_next(session, "default", worker.name, lease_s)
        due = self.ledger.next_in_line()
        worker.fence = self.ledger.claim(due, worker.name, lease_s) if due else None
        assert (claimed and claimed.fence) == worker.fence
        self.fences += [worker.fence] if worker.fence else []

    @precondition(lambda self: self.busy())
    @rule(worker=one_of(lambda self: self.busy()), lease_s=st.sampled_from([None, 20.0, 60.0]))
    def show_up(self, worker: Worker, lease_s: float | None) -> None:
        """A worker looks, or renews its lease, and is told what to do."""
        assert worker.fence is not None
        with self.database.write() as session:
            answer = renew(session, worker.fence, lease_s) if lease_s else peek(session, worker.fence)
        assert answer is (self.ledger.renew(worker.fence, lease_s) if lease_s else self.ledger.answer(worker.fence))
        if answer in (LeaseAnswer.LOST, LeaseAnswer.ENDED):
            worker.fence = None

    @precondition(lambda self: self.busy())
    @rule(worker=one_of(lambda self: self.busy()), verb=st.sampled_from(sorted(WORK)))
    def work(self, worker: Worker, verb: str) -> None:
        """A worker writes about its job."""
        assert worker.fence is not None
        if not self.write(worker.fence, WORK[verb]):
            worker.fence = None

    @precondition(lambda self: self.busy())
    @rule(worker=one_of(lambda self: self.busy()), verb=st.sampled_from(sorted(ENDINGS)))
    def end(self, worker: Worker, verb: str) -> None:
        """A worker ends its attempt, one way or another."""
        assert worker.fence is not None
        self.write(worker.fence, ENDINGS[verb])
        worker.fence = None

    @precondition(lambda self: self.zombies())
    @rule(fence=one_of(lambda self: self.zombies()), verb=st.sampled_from(sorted(WORK | ENDINGS)))
    def write_late(self, fence: Fence, verb: str) -> None:
        """A write arrives that was sent long ago, or is sent again because its answer was lost."""
        assert not self.write(fence, (WORK | ENDINGS)[verb])

    @precondition(lambda self: self.busy())
    @rule(worker=one_of(lambda self: self.busy()), dies=st.booleans())
    def vanish(self, worker: Worker, dies: bool) -> None:
        """A worker falls silent. Killed, it is replaced by one that knows nothing; frozen, it may come back."""
        if dies:
            worker.fence = None
        else:
            worker.vanished = True

    @precondition(lambda self: any(worker.vanished for worker in self.workers))
    @rule(worker=one_of(lambda self: [worker for worker in self.workers if worker.vanished]))
    def come_back(self, worker: Worker) -> None:
        """A worker goes on where it stopped, whatever has happened since."""
        worker.vanished = False

    @precondition(lambda self: self.ledger.upcoming())
    @rule(moment=one_of(lambda self: self.ledger.upcoming()), by_ms=st.sampled_from([-1, 0, 1]), first=st.booleans())
    def wait(self, moment: datetime, by_ms: int, first: bool) -> None:
        """Time passes to just before, at or after a moment that matters, and the reconciler may be the first to act."""
        self.clock.wait_until(moment + timedelta(milliseconds=by_ms))
        if first:
            self.reconcile()

    @precondition(lambda self: self.ledger.owners())
    @rule()
    def reconcile(self) -> None:
        """A reconciler takes back exactly what lapsed."""
        with self.database.write() as session:
            expired = {each.fence: each.status for each in requeue_expired(session)}
        assert expired == {fence: self.ledger.crash(fence, at_once=True) for fence in self.ledger.lapsed()}

    @precondition(lambda self: self.idle() and self.ledger.owners())
    @rule(fence=one_of(lambda self: self.ledger.owners()), verb=st.sampled_from(sorted(WORK | ENDINGS)))
    def take_over(self, fence: Fence, verb: str) -> None:
        """An owner is silent for too long, another claims as soon as it may, and then the first one writes."""
        self.clock.wait_until(self.ledger.attempt_of(fence).lease_expires_at)
        self.reconcile()
        self.clock.wait_until(self.ledger.jobs[fence.job_id].not_before or self.clock.now)
        self.claim(self.idle()[0], 60.0)
        assert not self.write(fence, (WORK | ENDINGS)[verb])

    @precondition(lambda self: self.ledger.jobs and not self.patience)
    @rule(
        job_id=one_of(lambda self: self.ledger.unfinished() or list(self.ledger.jobs)),
        verb=st.sampled_from(sorted(REQUESTS)),
    )
    def ask(self, job_id: str, verb: str) -> None:
        """A user asks for something."""
        self.patience = PATIENCE
        before = everything(self.database)
        granted = REQUESTS[verb].expect(self.ledger, job_id)
        try:
            with self.database.write() as session:
                REQUESTS[verb].do(session, self.team, job_id)
        except TransitionRefused:
            assert not granted
            assert everything(self.database) == before
        else:
            assert granted

    def write(self, fence: Fence, write: Write) -> bool:
        """Do what only an owner may do; return whether it was one. From anybody else it must change nothing."""
        unasked = write is ENDINGS["confirm the cancel"] and self.ledger.answer(fence) is not LeaseAnswer.CANCEL
        refusal: type[Exception] | None = None if not unasked else ValueError
        if not self.ledger.owns(fence):
            refusal = FenceLost
        if refusal is None:
            with self.database.write() as session:
                found = write.do(session, fence)
            assert found == write.expect(self.ledger, fence)
            return True
        before = everything(self.database)
        with pytest.raises(refusal), self.database.write() as session:
            write.do(session, fence)
        assert everything(self.database) == before
        return refusal is not FenceLost

    @invariant()
    def all_is_well(self) -> None:
        """The database says what the ledger says, to the millisecond, and keeps the promises."""
        rows = everything(self.database)
        assert records(rows) == self.ledger.jobs
        self.promises.check(rows)
        self.patience = max(self.patience - 1, 0)


@pytest.fixture
def empty_sqlite(migrated_sqlite_file: Path, tmp_path: Path) -> Callable[[], Database]:
    """Opens an empty file, again and again."""

    def empty() -> Database:
        for old in tmp_path.iterdir():
            old.unlink()
        return open_database(f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path)}")

    return empty


@pytest.mark.slow
def test_the_promises_hold_on_sqlite_whatever_happens(empty_sqlite: Callable[[], Database]) -> None:
    tell_stories(empty_sqlite, settings(max_examples=25 * THOROUGH))


@pytest.mark.slow
@pytest.mark.postgres
def test_the_promises_hold_on_postgresql_whatever_happens(postgres_url: str) -> None:
    def empty() -> Database:
        database = open_database(postgres_url)
        with database.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # past what keeps the audit log
            connection.execute(text("TRUNCATE team CASCADE"))
        return database

    tell_stories(empty, settings(max_examples=6 * THOROUGH))


@pytest.mark.parametrize(
    ("broken", "by"),
    [("store.progress.hold", lambda session, fence: None), ("store.endings._BACKOFF_S", 4.999)],
    ids=["no fence", "a backoff that is a millisecond short"],
)
def test_a_broken_store_is_noticed(
    empty_sqlite: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, broken: str, by: object
) -> None:
    monkeypatch.setattr(broken, by)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        tell_stories(empty_sqlite, settings(max_examples=200, phases=[Phase.generate], database=None))


def tell_stories(empty: Callable[[], Database], how: settings) -> None:
    """Tell many stories, each on an empty database."""

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(empty)

    run_state_machine_as_test(Machine, settings=settings(how, stateful_step_count=50, deadline=None))
