"""What the store should hold after every step, kept by a clerk who has never seen its SQL.

A step of the state machine is written down here in plain Python, and must then be found in the database. To extend it
(a pause, a resume, a retry, a checkpoint), add a method that does to the records what the store should do to the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from store import ACTIVE, TERMINAL, AttemptOutcome, Fence, JobStatus, LeaseAnswer


@dataclass(slots=True)
class AttemptRecord:
    """One attempt."""

    worker: str
    heartbeat_at: datetime
    lease_expires_at: datetime
    deadline_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None


@dataclass(slots=True)
class EventRecord:
    """One event."""

    type: str
    at: datetime
    attempt: int | None
    status: JobStatus | None  # where the job went, if it went anywhere


@dataclass(slots=True)
class JobRecord:
    """One job."""

    priority: int
    most: int
    max_runtime_s: float
    status: JobStatus = JobStatus.QUEUED
    crashes: int = 0
    step: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    not_before: datetime | None = None
    attempts: list[AttemptRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)


class Ledger:
    """All jobs, in the order in which they were submitted."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.jobs: dict[str, JobRecord] = {}

    def submit(self, job_id: str, *, priority: int, most: int, max_runtime_s: float) -> None:
        """A job waits."""
        self.jobs[job_id] = JobRecord(priority, most, max_runtime_s)
        self.note(Fence(job_id, 0), "submitted", JobStatus.QUEUED)

    def next_in_line(self) -> str | None:
        """Return the job that the next claim gets: the first of those with the highest priority."""
        now = self._now()
        waiting = [
            job_id
            for job_id, job in self.jobs.items()
            if job.status is JobStatus.QUEUED and (job.not_before is None or job.not_before <= now)
        ]
        return max(waiting, key=lambda job_id: self.jobs[job_id].priority, default=None)

    def claim(self, job_id: str, worker: str, lease_s: float) -> Fence:
        """A worker owns it."""
        job, now = self.jobs[job_id], self._now()
        job.attempts.append(AttemptRecord(worker, now, _after(now, lease_s), _after(now, job.max_runtime_s)))
        job.started_at = job.started_at or now
        job.not_before = None
        fence = Fence(job_id, len(job.attempts))
        self._move(fence, JobStatus.RUNNING, "started")
        return fence

    def attempt_of(self, fence: Fence) -> AttemptRecord:
        """Return the record of an attempt that was made."""
        return self.jobs[fence.job_id].attempts[fence.attempt - 1]

    def owns(self, fence: Fence) -> bool:
        """Say whether an attempt still owns its job."""
        return self.attempt_of(fence).ended_at is None

    def answer(self, fence: Fence) -> LeaseAnswer:
        """Return what an attempt that shows up is told."""
        if not self.owns(fence):
            taken = self.attempt_of(fence).outcome in (AttemptOutcome.LOST, AttemptOutcome.PREEMPTED)
            return LeaseAnswer.LOST if taken else LeaseAnswer.ENDED
        if self.jobs[fence.job_id].status is JobStatus.CANCELLING:
            return LeaseAnswer.CANCEL
        if self.attempt_of(fence).deadline_at <= self._now():
            return LeaseAnswer.TIMED_OUT
        return LeaseAnswer.PAUSE if self.jobs[fence.job_id].status is JobStatus.PAUSING else LeaseAnswer.KEEP

    def renew(self, fence: Fence, lease_s: float) -> LeaseAnswer:
        """The lease of an owner, lapsed or not, runs from now."""
        if self.owns(fence):
            attempt = self.attempt_of(fence)
            attempt.heartbeat_at, attempt.lease_expires_at = self._now(), _after(self._now(), lease_s)
        return self.answer(fence)

    def note(self, fence: Fence, type_: str, status: JobStatus | None = None) -> None:
        """An event is added."""
        event = EventRecord(type_, self._now(), fence.attempt or None, status)
        self.jobs[fence.job_id].events.append(event)

    def progress(self, fence: Fence, step: int) -> None:
        """A step is shown."""
        self.jobs[fence.job_id].step = step

    def finish(self, fence: Fence, to: JobStatus, outcome: AttemptOutcome) -> JobStatus:
        """An owner ends its job; but a cancel that was asked for first wins."""
        if self.jobs[fence.job_id].status is JobStatus.CANCELLING:
            to, outcome = JobStatus.CANCELLED, AttemptOutcome.CANCELLED
        return self._end(fence, to, outcome, str(to))

    def preempt(self, fence: Fence) -> JobStatus:
        """An owner gives its job back because it must stop."""
        to = self._after_leaving(fence.job_id)
        return self._end(fence, to, AttemptOutcome.PREEMPTED, "preempted" if to is JobStatus.QUEUED else str(to))

    def crash(self, fence: Fence, *, at_once: bool = False) -> JobStatus:
        """An owner is lost: the job waits 5, 10, 20… seconds, at most 300, and fails when it was lost too often.

        One whose lease has lapsed has waited already (`at_once`).
        """
        job, to = self.jobs[fence.job_id], self._after_leaving(fence.job_id)
        if to is not JobStatus.QUEUED:
            return self._end(fence, to, AttemptOutcome.LOST, str(to))
        job.crashes += 1
        if job.crashes == job.most:
            return self._end(fence, JobStatus.FAILED, AttemptOutcome.LOST, "failed")
        job.not_before = None if at_once else _after(self._now(), min(5.0 * 2 ** (job.crashes - 1), 300.0))
        return self._end(fence, to, AttemptOutcome.LOST, "requeued")

    def lapsed(self) -> list[Fence]:
        """Return the owners whose lease has run out."""
        return [fence for fence in self.owners() if self.attempt_of(fence).lease_expires_at <= self._now()]

    def owners(self) -> list[Fence]:
        """Return every fence that is good."""
        active = {job_id: job for job_id, job in self.jobs.items() if job.status in ACTIVE}
        return [Fence(job_id, len(job.attempts)) for job_id, job in active.items()]

    def unfinished(self) -> list[str]:
        """Return the jobs that have not ended."""
        return [job_id for job_id, job in self.jobs.items() if job.status not in TERMINAL]

    def cancel(self, job_id: str) -> bool:
        """A user cancels; False if the job had ended."""
        job = self.jobs[job_id]
        if job.status in TERMINAL:
            return False
        latest = Fence(job_id, len(job.attempts))
        if job.status in {JobStatus.QUEUED, JobStatus.PAUSED}:
            self._move(latest, JobStatus.CANCELLED, "cancelled")
        elif job.status is not JobStatus.CANCELLING:
            self._move(latest, JobStatus.CANCELLING, "cancel_requested")
        return True

    def pause(self, job_id: str) -> bool:
        """A user pauses; False if the job had ended, or was being cancelled."""
        job = self.jobs[job_id]
        latest = Fence(job_id, len(job.attempts))
        if job.status is JobStatus.QUEUED:
            self._move(latest, JobStatus.PAUSED, "paused")
        elif job.status is JobStatus.RUNNING:
            self._move(latest, JobStatus.PAUSING, "pause_requested")
        return job.status in {JobStatus.PAUSING, JobStatus.PAUSED}

    def resume(self, job_id: str) -> bool:
        """A user resumes; False unless the job is paused, or needs no resuming."""
        job = self.jobs[job_id]
        if job.status is JobStatus.PAUSED:
            self._move(Fence(job_id, len(job.attempts)), JobStatus.QUEUED, "resumed")
            job.not_before = None
        return job.status in {JobStatus.QUEUED, JobStatus.RUNNING}

    def upcoming(self) -> list[datetime]:
        """Return the moments at which something becomes possible: the ends of leases, backoffs and run times."""
        moments = {job.not_before for job in self.jobs.values()}
        for fence in self.owners():
            attempt = self.attempt_of(fence)
            moments |= {attempt.lease_expires_at, attempt.deadline_at}
        return sorted(moment for moment in moments if moment is not None and moment >= self._now())

    def _after_leaving(self, job_id: str) -> JobStatus:
        leaving = {JobStatus.CANCELLING: JobStatus.CANCELLED, JobStatus.PAUSING: JobStatus.PAUSED}
        return leaving.get(self.jobs[job_id].status, JobStatus.QUEUED)

    def _end(self, fence: Fence, to: JobStatus, outcome: AttemptOutcome, event: str) -> JobStatus:
        attempt = self.attempt_of(fence)
        attempt.ended_at, attempt.outcome = self._now(), outcome
        self._move(fence, to, event)
        return to

    def _move(self, fence: Fence, to: JobStatus, event: str) -> None:
        job = self.jobs[fence.job_id]
        job.status = to
        if to in TERMINAL:
            job.finished_at = self._now()
        self.note(fence, event, to)


def _after(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)
