"""How attempts end: with a result, an error, a cancel, a stop or a crash. Each ending is fenced."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from store.artifacts import NewArtifact, write_artifacts
from store.checkpoints import drop_checkpoints
from store.clock import db_now
from store.documents import JsonObject
from store.engine import WriteSession
from store.errors import FenceLost
from store.fences import Fence, hold
from store.masks import NewLayer, write_layers
from store.states import AttemptOutcome, JobStatus
from store.tables import Attempt, Job
from store.transitions import move

_BACKOFF_S = 5.0
_LONGEST_BACKOFF_S = 300.0


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, for the people who read it."""

    code: str
    detail: str
    log_tail: str | None = None

    def document(self) -> JsonObject:
        """Return the form in which the job shows it."""
        return {"code": self.code, "detail": self.detail, "log_tail": self.log_tail}


def finish_succeeded(
    session: WriteSession,
    fence: Fence,
    result: JsonObject,
    artifacts: Sequence[NewArtifact],
    layers: Sequence[NewLayer],
) -> JobStatus:
    """End a job with its result, its files and its masks.

    Returns:
        `succeeded`; or `cancelled`, with nothing recorded, if a cancel was requested first.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = hold(session, fence)
    if status is JobStatus.CANCELLING:
        return _end(session, fence, status, JobStatus.CANCELLED, AttemptOutcome.CANCELLED)
    write_artifacts(session, fence, artifacts)
    write_layers(session, fence, layers)
    what = {"result": result, "quality": _quality(result)}
    return _end(session, fence, status, JobStatus.SUCCEEDED, AttemptOutcome.SUCCEEDED, columns=what)


def finish_failed(session: WriteSession, fence: Fence, error: JobError) -> JobStatus:
    """End a job with an error that trying again would only repeat.

    Returns:
        `failed`; or `cancelled` if a cancel was requested first.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = hold(session, fence)
    if status is JobStatus.CANCELLING:
        return _end(session, fence, status, JobStatus.CANCELLED, AttemptOutcome.CANCELLED, error=error)
    why = {"error": error.document()}
    return _end(session, fence, status, JobStatus.FAILED, AttemptOutcome.FAILED, error=error, columns=why)


def finish_cancelled(session: WriteSession, fence: Fence) -> JobStatus:
    """End a job whose trainer was stopped because of a cancel request.

    Raises:
        FenceLost: The attempt no longer owns the job.
        ValueError: Nobody asked for a cancel.
    """
    status = hold(session, fence)
    if status is not JobStatus.CANCELLING:
        raise ValueError(f"Nobody asked to cancel job {fence.job_id}. End it as succeeded, failed or preempted.")
    return _end(session, fence, status, JobStatus.CANCELLED, AttemptOutcome.CANCELLED)


def release_preempted(session: WriteSession, fence: Fence) -> JobStatus:
    """Give a job back because its worker was asked to stop. This is not counted as a crash.

    Returns:
        `queued`, or where the job was going: `cancelled`, `paused`.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = hold(session, fence)
    to = _after_leaving(status)
    event = "preempted" if to is JobStatus.QUEUED else None
    return _end(session, fence, status, to, AttemptOutcome.PREEMPTED, event=event)


def release_crashed(session: WriteSession, fence: Fence, error: JobError, *, at_once: bool = False) -> JobStatus:
    """Give a job back because its trainer died, to be tried again, unless it has crashed too often.

    Args:
        session: Committed by its owner.
        fence: The attempt that crashed.
        error: What is known of it.
        at_once: Let it be tried at once, and not after a wait that grows with each crash.

    Returns:
        `queued`; `failed` with the code `attempts_exhausted`; or where the job was going: `cancelled`, `paused`.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = hold(session, fence)
    to = _after_leaving(status)
    if to is not JobStatus.QUEUED:
        return _end(session, fence, status, to, AttemptOutcome.LOST, error=error)
    crashes, most = session.execute(select(Job.crashes + 1, Job.max_attempts).where(Job.id == fence.job_id)).one()
    if crashes < most:
        wait_s = min(_BACKOFF_S * 2.0 ** (crashes - 1), _LONGEST_BACKOFF_S)
        later = {"crashes": crashes, "not_before": None if at_once else db_now(wait_s)}
        return _end(session, fence, status, to, AttemptOutcome.LOST, error=error, event="requeued", columns=later)
    exhausted = JobError(
        "attempts_exhausted", f"{crashes} of {most} attempts crashed. The last one: {error.detail}", error.log_tail
    )
    why = {"crashes": crashes, "error": exhausted.document()}
    return _end(session, fence, status, JobStatus.FAILED, AttemptOutcome.LOST, error=exhausted, columns=why)


def release_starved(session: WriteSession, fence: Fence, error: JobError, *, final: bool = False) -> JobStatus:
    """Give a job back whose trainer ran out of memory; with half the batch, where its spec leaves that to us.

    A batch_size of `auto` is halved and the passes of a step doubled, so that the steps stay what they are; what was
    saved belongs to the old setting and goes. Another job crashes as from anything else: neighbours may be to blame.

    Args:
        session: Committed by its owner.
        fence: The attempt that ran out of memory.
        error: What is known of it.
        final: The trainer itself could not allocate: without `auto`, trying again would only repeat it.

    Returns:
        `queued`, `failed`, or where the job was going: `cancelled`, `paused`.

    Raises:
        FenceLost: The attempt no longer owns the job.
    """
    status = hold(session, fence)
    halved = _halved(session.execute(select(Job.spec).where(Job.id == fence.job_id)).scalar_one())
    if halved is not None:
        drop_checkpoints(session, fence.job_id)
        to = _after_leaving(status)
        # Of a job that was to end or to pause anyway that is what its watchers wait for.
        event = "batch_halved" if to is JobStatus.QUEUED else None
        return _end(session, fence, status, to, AttemptOutcome.LOST, error=error, event=event, columns={"spec": halved})
    return finish_failed(session, fence, error) if final else release_crashed(session, fence, error)


def _quality(result: JsonObject) -> float | None:
    """The value of the metric that the task is judged by; None where the result has no such number."""
    evaluation, name = result.get("eval"), result.get("primary_metric")
    value = evaluation.get(name) if isinstance(evaluation, Mapping) and isinstance(name, str) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _halved(spec: JsonObject) -> JsonObject | None:
    """The spec with half the examples in twice the forward passes; None where that is not wanted, or not possible."""
    training = spec.get("training")
    if not isinstance(training, Mapping) or not training.get("auto_batch"):
        return None
    size, passes, gpus = training["batch_size"], training["gradient_accumulation"], training.get("gpus", 1)
    if not isinstance(size, int) or not isinstance(passes, int) or not isinstance(gpus, int) or size // 2 < gpus:
        return None
    return {**spec, "training": {**training, "batch_size": size // 2, "gradient_accumulation": 2 * passes}}


def _after_leaving(status: JobStatus) -> JobStatus:
    """Say where a job goes when its attempt leaves without an ending."""
    return {JobStatus.CANCELLING: JobStatus.CANCELLED, JobStatus.PAUSING: JobStatus.PAUSED}.get(
        status, JobStatus.QUEUED
    )


def _end(
    session: WriteSession,
    fence: Fence,
    status: JobStatus,
    to: JobStatus,
    outcome: AttemptOutcome,
    *,
    error: JobError | None = None,
    event: str | None = None,
    columns: Mapping[str, object] | None = None,
) -> JobStatus:
    """Close the attempt of a job that the caller holds in `status`, and move the job."""
    closed = session.execute(
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt, Attempt.ended_at.is_(None))
        .values(ended_at=db_now(), outcome=outcome, detail=error.document() if error else None)
        .returning(Attempt.number)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if closed is None:
        raise FenceLost(fence.job_id, fence.attempt)
    if to in (JobStatus.SUCCEEDED, JobStatus.CANCELLED):
        drop_checkpoints(session, fence.job_id)  # those of a failed job stay a while, for a retry
    move(
        session,
        fence.job_id,
        to,
        from_=(status,),
        attempt=fence.attempt,
        event=event or str(to),
        data={"code": error.code, "detail": error.detail} if error else None,
        columns=columns,
    )
    return to
