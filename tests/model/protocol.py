"""The protocol of claim, renew, write, end and expire, as a model small enough to be explored to its last state.

Workers and the reconciler know only what the database last told them. Between a read and the write that rests on it
anybody else may act, so the model grants the protocol less than the store does, whose claims and expiries hold row
locks from one to the other: what holds here does not rest on a lock.

An action is a function that yields, for a state, each step that could be taken and the state after it. To extend the
protocol (a retry, say), write its transaction in `rows.py`, its action here, and name the action in `ACTIONS`.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from functools import cache
from typing import NamedTuple, TypeAlias

from store.states import JobStatus
from tests.model import rows
from tests.model.rows import Guard, Guards, Row


class Doing(IntEnum):
    """What a worker does."""

    NOTHING = 0
    CLAIMING = 1  # it has read which job waits, and has not written yet
    WORKING = 2  # it believes that it owns a job


class Worker(NamedTuple):
    """A worker and all it knows."""

    doing: Doing = Doing.NOTHING
    job: int = -1
    attempt: int = 0  # while claiming: the job's latest when it was read; while working: its own
    told_to_cancel: bool = False
    frozen: bool = False  # stopped, swapped out or cut off; it may go on at any time, knowing nothing new


class Found(NamedTuple):
    """An attempt that a reconciler found lapsed, and has not ended yet."""

    job: int = -1
    attempt: int = 0


IDLE = Worker()
NOTHING_FOUND = Found()


class State(NamedTuple):
    """The database, and what everybody knows of it."""

    jobs: tuple[Row, ...]
    workers: tuple[Worker, ...]
    found: Found = NOTHING_FOUND


class Step(NamedTuple):
    """Who did what to which job; what was refused changed no row."""

    verb: str
    worker: int = -1
    job: int = -1
    refused: bool = False

    def __str__(self) -> str:
        who = f"worker {self.worker + 1}: " if self.worker >= 0 else ""
        return f"{who}{self.verb} job {self.job + 1}{' (refused)' if self.refused else ''}"


Steps: TypeAlias = Iterator[tuple[Step, State]]
Action: TypeAlias = Callable[[State, Guards], Steps]


def start(workers: int = 2, jobs: int = 2) -> State:
    """Return the state in which every job waits and every worker is idle."""
    return State((Row(),) * jobs, (IDLE,) * workers)


def choose(state: State, guards: Guards) -> Steps:
    """An idle worker reads which job waits."""
    for number, worker in _awake(state, Doing.NOTHING):
        for job, row in enumerate(state.jobs):
            if row.status is JobStatus.QUEUED:
                chosen = worker._replace(doing=Doing.CLAIMING, job=job, attempt=row.attempt)
                yield Step("choose", number, job), _knows(state, number, chosen)


def claim(state: State, guards: Guards) -> Steps:
    """It writes its claim, whatever has become of the job since."""
    for number, worker in _awake(state, Doing.CLAIMING):
        after = rows.claim(state.jobs[worker.job], worker.attempt, guards)
        owner = Worker(Doing.WORKING, worker.job, worker.attempt + 1) if after else IDLE
        yield _written(state, "claim", number, after, owner)


def renew(state: State, guards: Guards) -> Steps:
    """A worker renews its lease and learns whether a cancel was asked for, or that it lost the job."""
    for number, worker in _awake(state, Doing.WORKING):
        after = rows.renew(state.jobs[worker.job], worker.attempt)
        yield _written(state, "renew", number, after, _informed(state, worker) if after else IDLE)


def peek(state: State, guards: Guards) -> Steps:
    """A worker learns the same, without renewing."""
    for number, worker in _awake(state, Doing.WORKING):
        row = state.jobs[worker.job]
        after = row if rows.is_live(row, worker.attempt) else None
        yield _written(state, "peek at", number, after, _informed(state, worker) if after else IDLE)


def write(state: State, guards: Guards) -> Steps:
    """A worker writes progress; refused, it knows that it is a zombie and stops."""
    for number, worker in _awake(state, Doing.WORKING):
        row = state.jobs[worker.job]
        after = row if rows.holds(row, worker.attempt, guards) else None
        yield _written(state, "write about", number, after, worker if after else IDLE)


def finish(state: State, guards: Guards) -> Steps:
    """A worker ends its job, well or badly, whether or not it has heard of a cancel."""
    for number, worker in _awake(state, Doing.WORKING):
        for verb, to in (("succeed with", JobStatus.SUCCEEDED), ("fail", JobStatus.FAILED)):
            after = rows.end(state.jobs[worker.job], worker.attempt, to, guards)
            yield _written(state, verb, number, after, IDLE)


def confirm_cancel(state: State, guards: Guards) -> Steps:
    """A worker that was told to cancel has stopped its trainer."""
    for number, worker in _awake(state, Doing.WORKING):
        if worker.told_to_cancel:
            after = rows.end(state.jobs[worker.job], worker.attempt, JobStatus.CANCELLED, guards)
            yield _written(state, "confirm the cancel of", number, after, IDLE)


def report_crash(state: State, guards: Guards) -> Steps:
    """A worker's trainer died."""
    for number, worker in _awake(state, Doing.WORKING):
        after = rows.crash(state.jobs[worker.job], worker.attempt, guards)
        yield _written(state, "report the crash of", number, after, IDLE)


def give_back(state: State, guards: Guards) -> Steps:
    """A worker was asked to stop."""
    if _may_be_given_back(state):
        for number, worker in _awake(state, Doing.WORKING):
            after = rows.preempt(state.jobs[worker.job], worker.attempt, guards)
            yield _written(state, "give back", number, after, IDLE)


def leave_to_pause(state: State, guards: Guards) -> Steps:
    """A worker has saved a checkpoint, because a pause was asked for."""
    for number, worker in _awake(state, Doing.WORKING):
        if state.jobs[worker.job].status is JobStatus.PAUSING:
            after = rows.preempt(state.jobs[worker.job], worker.attempt, guards)
            yield _written(state, "leave", number, after, IDLE)


def die(state: State, guards: Guards) -> Steps:
    """A worker dies without a word; another, which knows nothing, takes its place."""
    for number, worker in enumerate(state.workers):
        if worker.doing is not Doing.NOTHING:
            yield Step("die over", number, worker.job), _knows(state, number, IDLE)


def freeze(state: State, guards: Guards) -> Steps:
    """A worker stops for a while, at any point."""
    for number, worker in enumerate(state.workers):
        if worker.doing is not Doing.NOTHING and not worker.frozen:
            yield Step("freeze over", number, worker.job), _knows(state, number, worker._replace(frozen=True))


def thaw(state: State, guards: Guards) -> Steps:
    """It goes on as if nothing had happened: a zombie, if its job was given away meanwhile."""
    for number, worker in enumerate(state.workers):
        if worker.frozen:
            yield Step("thaw over", number, worker.job), _knows(state, number, worker._replace(frozen=False))


def lapse(state: State, guards: Guards) -> Steps:
    """Time passes the end of a lease."""
    for job, row in enumerate(state.jobs):
        if row.live and not row.lapsed:
            yield Step("time passes the lease of", job=job), _with(state, job, row._replace(lapsed=True))


def notice(state: State, guards: Guards) -> Steps:
    """The reconciler reads that a lease has run out."""
    if Guard.RECONCILER in guards and state.found == NOTHING_FOUND:
        for job, row in enumerate(state.jobs):
            if row.live and row.lapsed:
                yield Step("the reconciler notices", job=job), state._replace(found=Found(job, row.attempt))


def expire(state: State, guards: Guards) -> Steps:
    """It ends the attempt that it found, whatever has become of it since."""
    job, attempt = state.found
    if state.found != NOTHING_FOUND:
        after = rows.expire(state.jobs[job], attempt, guards)
        done = state._replace(found=NOTHING_FOUND)
        yield Step("the reconciler expires", job=job, refused=after is None), _with(done, job, after)


def cancel(state: State, guards: Guards) -> Steps:
    """A user asks for a cancel."""
    for job, row in enumerate(state.jobs):
        after = rows.request_cancel(row)
        if after not in (None, row):
            yield Step("a user cancels", job=job), _with(state, job, after)


def pause(state: State, guards: Guards) -> Steps:
    """A user asks for a pause."""
    for job, row in enumerate(state.jobs):
        after = rows.request_pause(row)
        if after and (not after.live or _may_be_given_back(state)):
            yield Step("a user pauses", job=job), _with(state, job, after)


def resume(state: State, guards: Guards) -> Steps:
    """A user lets a paused job go on."""
    for job, row in enumerate(state.jobs):
        if after := rows.request_resume(row):
            yield Step("a user resumes", job=job), _with(state, job, after)


ACTIONS: tuple[Action, ...] = (
    choose,
    claim,
    renew,
    peek,
    write,
    finish,
    confirm_cancel,
    report_crash,
    give_back,
    leave_to_pause,
    die,
    freeze,
    thaw,
    lapse,
    notice,
    expire,
    cancel,
    pause,
    resume,
)

UNHELPFUL = frozenset({"die over", "freeze over", "a user cancels", "a user pauses", "a user resumes"})
"""Steps that no job may need in order to end."""


def steps(state: State, guards: Guards = rows.ALL, actions: Iterable[Action] = ACTIONS) -> Steps:
    """Yield every step that could be taken next, and the state after it."""
    for action in actions:
        yield from action(state, guards)


def folded(state: State) -> State:
    """Return the one state that stands for all that differ only in who is called worker 1 or job 1."""
    jobs, found = state.jobs, state.found
    kept = State(jobs, _in_order(state.workers), found)
    if len(jobs) != 2 or jobs[0] < jobs[1]:
        return kept
    other = State(
        jobs[::-1], _in_order(_swapped(state.workers)), Found(1 - found.job, found.attempt) if found.job >= 0 else found
    )
    return other if jobs[1] < jobs[0] else min(kept, other)


@cache
def _in_order(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return tuple(sorted(workers))


@cache
def _swapped(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return tuple(worker._replace(job=1 - worker.job) if worker.job >= 0 else worker for worker in workers)


def _may_be_given_back(state: State) -> bool:
    """Whether one more attempt may leave its job without a crash, counting those that are about to."""
    leaving = sum(row.preemptions + (row.status is JobStatus.PAUSING) for row in state.jobs)
    return leaving < rows.MAX_PREEMPTIONS


def _awake(state: State, doing: Doing) -> Iterator[tuple[int, Worker]]:
    for number, worker in enumerate(state.workers):
        if worker.doing is doing and not worker.frozen:
            yield number, worker


def _informed(state: State, worker: Worker) -> Worker:
    return worker._replace(told_to_cancel=state.jobs[worker.job].status is JobStatus.CANCELLING)


def _written(state: State, verb: str, number: int, after: Row | None, worker: Worker) -> tuple[Step, State]:
    """A worker's transaction: the row as it left it, or None where it was refused, and what the worker knows now."""
    job = state.workers[number].job
    return Step(verb, number, job, refused=after is None), _knows(_with(state, job, after), number, worker)


def _with(state: State, job: int, row: Row | None) -> State:
    if row is None:
        return state
    return state._replace(jobs=(*state.jobs[:job], row, *state.jobs[job + 1 :]))


def _knows(state: State, number: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:number], worker, *state.workers[number + 1 :]))
