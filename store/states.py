"""The states of a job, and which may follow which. `store.transitions.move` is the only way between them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobStatus(StrEnum):
    """What a job is doing."""

    QUEUED = "queued"  # waits for a worker: newly submitted, or given back by one
    RUNNING = "running"  # a live attempt holds the lease
    PAUSING = "pausing"  # asked to pause; the live attempt saves a checkpoint and leaves
    PAUSED = "paused"  # waits for a resume; nobody works on it
    CANCELLING = "cancelling"  # asked to cancel; the live attempt stops its trainer
    SUCCEEDED = "succeeded"  # terminal: the artifacts are there
    FAILED = "failed"  # terminal: `error` says why
    CANCELLED = "cancelled"  # terminal: by request


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
"""Where every job ends, once and for good."""

ACTIVE = frozenset({JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING})
"""The states in which exactly one attempt is live; in all others none is."""

ALLOWED: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        # claimed by a worker; cancelled or paused before anyone began
        JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.PAUSED}),
        # lost or preempted attempts give the job back to the queue
        JobStatus.RUNNING: frozenset(
            {
                JobStatus.SUCCEEDED,
                JobStatus.FAILED,
                JobStatus.QUEUED,
                JobStatus.CANCELLING,
                JobStatus.PAUSING,
            }
        ),
        # the trainer may be done before the request reaches it; an attempt lost while pausing leaves it paused
        JobStatus.PAUSING: frozenset({JobStatus.PAUSED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLING}),
        JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
        # whatever the attempt reports now, the user asked first
        JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
        JobStatus.SUCCEEDED: frozenset(),
        JobStatus.FAILED: frozenset(),
        JobStatus.CANCELLED: frozenset(),
    }
)
"""The transition table: from each state, the states that may follow."""


class DeliveryStatus(StrEnum):
    """What has become of a message to a webhook."""

    PENDING = "pending"  # waits for its next try, or is being sent
    SUCCEEDED = "succeeded"  # the receiver answered 2xx
    FAILED = "failed"  # given up; it can be sent again by hand


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"  # the worker was asked to stop; no fault of the job's, so not counted against it
    LOST = "lost"  # the trainer, its worker or its host died; counted against max_attempts
