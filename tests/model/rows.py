"""A job's row in the model, and the transactions that change it: what `store` says in SQL, said in a few lines.

A transaction is a pure function from a row to the row after it, or to None if it was refused and changed nothing. Each
is atomic, as on the database; what its caller knew when it asked may be long out of date.
"""

from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from store.states import ACTIVE, TERMINAL, JobStatus

MAX_ATTEMPTS = 2
"""How many attempts of a job may be lost: the fewest with which one is taken over."""

MAX_PREEMPTIONS = 1
"""How many jobs that have not ended may have been given back, or paused while they ran: without a bound the attempts,
and the states, had no end."""


class Guard(StrEnum):
    """A condition that the promises rest on. Taking it away must break one of them, or the checker checks nothing."""

    FENCE = "a write must carry the number of the job's latest attempt"
    CLAIM = "a claim must find the job queued at the moment it writes"
    UNIQUE = "the database refuses an attempt's number twice, and a second live attempt"
    LIVE = "an expiry must find the attempt live at the moment it writes"
    LAPSED = "an expiry must find the lease run out at the moment it writes"
    RECONCILER = "somebody takes back what lapsed"


Guards: TypeAlias = AbstractSet[Guard]
"""The conditions in force."""

ALL: Guards = frozenset(Guard)


class Row(NamedTuple):
    """A job and its latest attempt."""

    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    live: bool = False  # the latest attempt has not ended
    lapsed: bool = False  # its lease has run out
    crashes: int = 0
    preemptions: int = 0


def claim(row: Row, seen: int, guards: Guards) -> Row | None:
    """`store.claims.claim_next`, but with no lock between its read, which saw attempt number `seen`, and its write."""
    if Guard.CLAIM in guards and row.status is not JobStatus.QUEUED:
        return None
    number = seen + 1
    if Guard.UNIQUE in guards and (row.live or number <= row.attempt):
        return None
    return row._replace(status=JobStatus.RUNNING, attempt=number, live=True, lapsed=False)


def holds(row: Row, attempt: int, guards: Guards) -> bool:
    """`store.fences.hold`: would a write that carries this attempt's number be applied?"""
    return row.status in ACTIVE and (Guard.FENCE not in guards or row.attempt == attempt)


def is_live(row: Row, attempt: int) -> bool:
    """Whether the attempt's own row is open: asked by `store.leases` and by every ending, beside the fence."""
    return row.live and row.attempt == attempt


def renew(row: Row, attempt: int) -> Row | None:
    """`store.leases.renew`."""
    return row._replace(lapsed=False) if is_live(row, attempt) else None


def end(row: Row, attempt: int, to: JobStatus, guards: Guards) -> Row | None:
    """`store.endings.finish_succeeded`, `finish_failed`, `finish_cancelled`: a cancel that was asked for first wins."""
    if not (holds(row, attempt, guards) and is_live(row, attempt)):
        return None
    return _ended(row, JobStatus.CANCELLED if row.status is JobStatus.CANCELLING else to)


def preempt(row: Row, attempt: int, guards: Guards) -> Row | None:
    """`store.endings.release_preempted`."""
    after = end(row, attempt, JobStatus.PAUSED if row.status is JobStatus.PAUSING else JobStatus.QUEUED, guards)
    return after and (after if after.status in TERMINAL else after._replace(preemptions=row.preemptions + 1))


def crash(row: Row, attempt: int, guards: Guards) -> Row | None:
    """`store.endings.release_crashed`."""
    if not (holds(row, attempt, guards) and is_live(row, attempt)):
        return None
    return _lost(row)


def expire(row: Row, attempt: int, guards: Guards) -> Row | None:
    """`store.recovery.requeue_expired`, but with no lock between the read that found the attempt and the write."""
    if Guard.LIVE in guards and not (is_live(row, attempt) and row.status in ACTIVE):
        return None
    if Guard.LAPSED in guards and not row.lapsed:
        return None
    return _lost(row)


def request_cancel(row: Row) -> Row | None:
    """`store.requests.request_cancel`."""
    if row.status in TERMINAL:
        return None
    if row.status in {JobStatus.QUEUED, JobStatus.PAUSED}:
        return _ended(row, JobStatus.CANCELLED)
    return row._replace(status=JobStatus.CANCELLING)


def request_pause(row: Row) -> Row | None:
    """`store.requests.request_pause`."""
    after = {JobStatus.QUEUED: JobStatus.PAUSED, JobStatus.RUNNING: JobStatus.PAUSING}.get(row.status)
    return None if after is None else row._replace(status=after)


def request_resume(row: Row) -> Row | None:
    """`store.requests.request_resume`."""
    return row._replace(status=JobStatus.QUEUED) if row.status is JobStatus.PAUSED else None


def _lost(row: Row) -> Row:
    if row.status is JobStatus.CANCELLING:
        return _ended(row, JobStatus.CANCELLED)
    if row.status is JobStatus.PAUSING:  # no crash is counted
        return _ended(row._replace(preemptions=row.preemptions + 1), JobStatus.PAUSED)
    lost = row._replace(crashes=row.crashes + 1)
    return _ended(lost, JobStatus.QUEUED if lost.crashes < MAX_ATTEMPTS else JobStatus.FAILED)


def _ended(row: Row, to: JobStatus) -> Row:
    if to in TERMINAL:  # nothing that was counted matters any more
        return Row(to, row.attempt)
    return row._replace(status=to, live=False, lapsed=False)
