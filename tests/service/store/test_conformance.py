"""The store does what the model of `tests/model` does: random walks through the model, taken on a real database.

What is proven of the model then speaks of the store. Two of the model's pairs of steps are one transaction of the store
(a claim reads and writes, and so does an expiry), so a walk takes them together.
"""

import os
import random
from collections.abc import Iterable, Iterator

import pytest
from sqlalchemy import bindparam, event, select, update

from store import (
    TERMINAL,
    Attempt,
    Database,
    Fence,
    FenceLost,
    Job,
    JobStatus,
    LeaseAnswer,
    NewJob,
    WriteSession,
    claim_next,
    create_job,
    ensure_team,
    peek,
    renew,
    requeue_expired,
)
from store.clock import db_now
from tests.model import protocol, rows
from tests.model.protocol import IDLE, Action, Doing, State, Step, Worker
from tests.model.rows import Row
from tests.service.store.verbs import ENDINGS, REQUESTS, WORK, Request, Write

WALKS = 200 * int(os.environ.get("THOROUGH", "1"))
STEPS = 15
LEASE_S = 3600.0

WRITES: dict[str, Write] = {
    "write about": WORK["show progress"],
    "succeed with": ENDINGS["succeed"],
    "fail": ENDINGS["fail"],
    "confirm the cancel of": ENDINGS["confirm the cancel"],
    "give back": ENDINGS["give back"],
    "leave": ENDINGS["give back"],
    "report the crash of": ENDINGS["report a crash"],
}

REQUESTED: dict[str, Request] = {
    "a user cancels": REQUESTS["cancel"],
    "a user pauses": REQUESTS["pause"],
    "a user resumes": REQUESTS["resume"],
}


class Replay:
    """The model's jobs and workers, for real."""

    def __init__(self, database: Database, team: str, walk: int) -> None:
        self._database = database
        self._team = team
        # a queue of its own for each job: then a claim gets the job that the model's worker chose
        self._queues = [f"walk-{walk}-{job}" for job in range(2)]
        with database.write() as session:
            self._jobs = [self._submit(session, queue) for queue in self._queues]
        self._fences: list[Fence | None] = [None, None]  # what each worker believes to own
        self._told_to_cancel = [False, False]

    def take(self, steps: Iterable[Step]) -> None:
        """Do what the model did."""
        for step in steps:
            with self._database.write() as session:
                if step.worker >= 0:
                    self._act(session, step.worker, step)
                elif step.verb in REQUESTED:
                    REQUESTED[step.verb].do(session, self._team, self._jobs[step.job])
                elif step.verb == "time passes the lease of":
                    job = Attempt.job_id == self._jobs[step.job]
                    session.execute(update(Attempt).where(job).values(lease_expires_at=db_now()))
                elif step.verb == "the reconciler expires":
                    requeue_expired(session)

    def state(self) -> State:
        """Say it in the model's words; what a job was lost for and how often matters no more once it has ended."""
        with self._database.engine.connect() as connection:
            found = connection.execute(_LATEST, {"jobs": self._jobs}).all()
        return State(tuple(_row(*each) for each in found), tuple(map(self._worker, range(2))))

    def _act(self, session: WriteSession, worker: int, step: Step) -> None:
        fence = self._fences[worker]
        if step.verb == "claim":
            # the model's backoffs are over at once
            session.execute(update(Job).where(Job.queue == self._queues[step.job]).values(not_before=None))
            claimed = claim_next(session, self._queues[step.job], f"worker {worker}", LEASE_S)
            self._fences[worker] = claimed.fence if claimed else None
        elif step.verb == "die over":
            self._forget(worker)
        elif fence is not None and step.verb in {"renew", "peek at"}:
            answer = renew(session, fence, LEASE_S) if step.verb == "renew" else peek(session, fence)
            over = answer in (LeaseAnswer.LOST, LeaseAnswer.ENDED)
            assert over == step.refused
            self._told_to_cancel[worker] = answer is LeaseAnswer.CANCEL
            if over:
                self._forget(worker)
        elif fence is not None and step.verb in WRITES:
            try:
                WRITES[step.verb].do(session, fence)
            except FenceLost:
                assert step.refused
                self._forget(worker)
            else:
                assert not step.refused
                if step.verb != "write about":
                    self._forget(worker)

    def _forget(self, worker: int) -> None:
        self._fences[worker], self._told_to_cancel[worker] = None, False

    def _worker(self, worker: int) -> Worker:
        fence = self._fences[worker]
        if fence is None:
            return IDLE
        return Worker(Doing.WORKING, self._jobs.index(fence.job_id), fence.attempt, self._told_to_cancel[worker])

    def _submit(self, session: WriteSession, queue: str) -> str:
        new = NewJob(method="movement", target_sparsity=0.5, spec={}, queue=queue, max_attempts=rows.MAX_ATTEMPTS)
        return create_job(session, self._team, new).job.id


# ids sort by the time they were made; built once, and read without an ORM: it is asked after every step
_LATEST = (
    select(
        Job.status,
        Job.attempt,
        Job.crashes,
        Attempt.number.is_not(None) & Attempt.ended_at.is_(None),
        Attempt.lease_expires_at <= db_now(),
    )
    .outerjoin(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
    .where(Job.id.in_(bindparam("jobs", expanding=True)))
    .order_by(Job.id)
)


def _row(status: JobStatus, attempt: int, crashes: int, live: bool, lapsed: bool | None) -> Row:
    if status in TERMINAL:
        return Row(status, attempt, bool(live))
    return Row(status, attempt, bool(live), bool(live and lapsed), crashes, attempt - crashes - live)


OFTEN: dict[Action, float] = {
    # taken over, and still there to write: what an even choice would seldom come to
    protocol.choose: 4,
    protocol.lapse: 4,
    # what ends the story early
    protocol.finish: 0.4,
    protocol.die: 0.2,
    protocol.cancel: 0.2,
    protocol.pause: 0.4,
    # what a walk takes together with the step before, or does by letting others go first
    protocol.claim: 0,
    protocol.notice: 0,
    protocol.expire: 0,
    protocol.freeze: 0,
    protocol.thaw: 0,
}


def walk(rng: random.Random) -> Iterator[tuple[list[Step], State]]:
    """Go through the model at random: each time an action, and then one of the steps that it offers."""
    state = protocol.start()
    for _ in range(STEPS):
        expired = _expire_all(state)
        if expired[0] and rng.random() < 0.5:
            yield expired
            state = expired[1]
            continue
        offers = {action: list(action(state, rows.ALL)) for action in protocol.ACTIONS}
        choices = [action for action, offered in offers.items() if offered and OFTEN.get(action, 1)]
        if not choices:
            return
        (action,) = rng.choices(choices, [OFTEN.get(action, 1) for action in choices])
        step, state = rng.choice(offers[action])
        if action is protocol.choose:
            step, state = next(found for found in protocol.claim(state, rows.ALL) if found[0].worker == step.worker)
        yield [step], state


def _expire_all(state: State) -> tuple[list[Step], State]:
    """Take back whatever has lapsed, as the store does in one transaction."""
    steps = list[Step]()
    while found := list(protocol.notice(state, rows.ALL)):
        expired, state = next(protocol.expire(found[0][1], rows.ALL))
        steps = [expired]
    return steps, state


@pytest.fixture
def quick_database(sqlite_database: Database) -> Database:
    """A SQLite file that need not survive a power cut."""
    event.listen(sqlite_database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
    return sqlite_database


@pytest.mark.slow
def test_the_store_goes_where_the_model_goes(quick_database: Database) -> None:
    with quick_database.write() as session:
        team = ensure_team(session, "walkers").id
    refusals, ended = 0, 0
    for seed in range(WALKS):
        replay, story = Replay(quick_database, team, seed), list[str]()
        for steps, expected in walk(random.Random(seed)):
            story += map(str, steps)
            replay.take(steps)
            assert replay.state() == expected, "\n".join(story)
            refusals += sum(step.refused for step in steps)
        ended += all(row.status in TERMINAL for row in expected.jobs)
    # the walks went far enough to mean something
    assert refusals > WALKS / 4
    assert ended > WALKS / 4
