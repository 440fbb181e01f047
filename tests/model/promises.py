"""What the engine promises, as questions about the model's states and steps: each answers what is wrong, or None."""

from collections.abc import Callable
from typing import TypeAlias

from store.states import ACTIVE, ALLOWED, TERMINAL, JobStatus
from tests.model import rows
from tests.model.protocol import Doing, State, Step
from tests.model.rows import Guards

Promise: TypeAlias = Callable[[State], str | None]
StepPromise: TypeAlias = Callable[[State, Step, State], str | None]


def one_effective_owner(guards: Guards = rows.ALL) -> Promise:
    """No two workers whose next fenced writes would both be applied to the same job."""

    def promise(state: State) -> str | None:
        owned = [
            worker.job
            for worker in state.workers
            if worker.doing is Doing.WORKING and rows.holds(state.jobs[worker.job], worker.attempt, guards)
        ]
        twice = next((job for job in owned if owned.count(job) > 1), None)
        return None if twice is None else f"job {twice + 1} has two effective owners"

    return promise


def a_live_attempt_while_active(state: State) -> str | None:
    """A job has a live attempt exactly while it is running, pausing or cancelling."""
    for job, row in enumerate(state.jobs, start=1):
        if row.live != (row.status in ACTIVE):
            return f"job {job} is {row.status} {'with' if row.live else 'without'} a live attempt"
    return None


def no_more_crashes_than_allowed(state: State) -> str | None:
    """A job that was lost max_attempts times has failed, and waits no more."""
    if any(row.crashes >= rows.MAX_ATTEMPTS for row in state.jobs if row.status not in TERMINAL):
        return "a job goes on that was lost too often"
    return None


def ended_once(before: State, step: Step, after: State) -> str | None:
    """What has ended never changes again."""
    for job, (row, now) in enumerate(zip(before.jobs, after.jobs, strict=True), start=1):
        if row is not now and row != now and row.status in TERMINAL:
            return f"job {job} had ended as {row.status} and is {now.status}"
    return None


def only_known_transitions(before: State, step: Step, after: State) -> str | None:
    """Statuses change as `store.states.ALLOWED` says."""
    for row, now in zip(before.jobs, after.jobs, strict=True):
        if row.status is not now.status and now.status not in ALLOWED[row.status]:
            return f"a job went from {row.status} to {now.status}"
    return None


def a_lease_that_holds_is_respected(before: State, step: Step, after: State) -> str | None:
    """Nobody loses a job while its lease runs."""
    if step.verb != "the reconciler expires" or step.refused:
        return None
    return None if before.jobs[step.job].lapsed else f"job {step.job + 1} was taken although its lease held"


def cancels_are_confirmed_only_if_asked_for(before: State, step: Step, after: State) -> str | None:
    """`store.endings.finish_cancelled` never has a reason for its ValueError."""
    if step.verb != "confirm the cancel of" or step.refused:
        return None
    asked = before.jobs[step.job].status is JobStatus.CANCELLING
    return None if asked else f"a cancel of job {step.job + 1} was confirmed that nobody asked for"


OF_STATES: tuple[Promise, ...] = (a_live_attempt_while_active, no_more_crashes_than_allowed)
OF_STEPS: tuple[StepPromise, ...] = (
    ended_once,
    only_known_transitions,
    a_lease_that_holds_is_respected,
    cancels_are_confirmed_only_if_asked_for,
)
