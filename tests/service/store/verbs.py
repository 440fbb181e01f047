"""What workers write and users ask, each with what the ledger expects of it.

A new entry of `WORK` or `ENDINGS` is tried by owners and zombies alike, one of `REQUESTS` in every state of a job.
"""

from collections.abc import Callable
from typing import NamedTuple

from store import (
    AttemptOutcome,
    Fence,
    JobError,
    JobStatus,
    WriteSession,
    add_event,
    finish_cancelled,
    finish_failed,
    finish_succeeded,
    record_progress,
    release_crashed,
    release_preempted,
    request_cancel,
    request_pause,
    request_resume,
)
from tests.service.store.ledger import Ledger

ERROR = JobError("broken", "It broke.")


class Write(NamedTuple):
    """A fenced write, and what an owner may expect of it."""

    do: Callable[[WriteSession, Fence], object]
    expect: Callable[[Ledger, Fence], object]


class Request(NamedTuple):
    """What a user asks for a job of a team, and whether it is granted."""

    do: Callable[[WriteSession, str, str], object]
    expect: Callable[[Ledger, str], bool]


WORK: dict[str, Write] = {
    "show progress": Write(
        lambda session, fence: record_progress(session, fence, step=fence.attempt, metrics=[("loss", 1, 0.5)]),
        lambda ledger, fence: ledger.progress(fence, step=fence.attempt),
    ),
    "add an event": Write(
        lambda session, fence: add_event(session, fence, "phase"),
        lambda ledger, fence: ledger.note(fence, "phase"),
    ),
}

ENDINGS: dict[str, Write] = {
    "succeed": Write(
        lambda session, fence: finish_succeeded(session, fence, {}, [], []),
        lambda ledger, fence: ledger.finish(fence, JobStatus.SUCCEEDED, AttemptOutcome.SUCCEEDED),
    ),
    "fail": Write(
        lambda session, fence: finish_failed(session, fence, ERROR),
        lambda ledger, fence: ledger.finish(fence, JobStatus.FAILED, AttemptOutcome.FAILED),
    ),
    "confirm the cancel": Write(
        finish_cancelled,
        lambda ledger, fence: ledger.finish(fence, JobStatus.CANCELLED, AttemptOutcome.CANCELLED),
    ),
    "give back": Write(release_preempted, Ledger.preempt),
    "report a crash": Write(lambda session, fence: release_crashed(session, fence, ERROR), Ledger.crash),
}

REQUESTS: dict[str, Request] = {
    "cancel": Request(request_cancel, Ledger.cancel),
    "pause": Request(request_pause, Ledger.pause),
    "resume": Request(request_resume, Ledger.resume),
}
