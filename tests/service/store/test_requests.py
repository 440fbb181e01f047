"""What users ask of a job, in every state it may be in."""

from collections.abc import Callable
from dataclasses import fields

import pytest

from store import (
    Claim,
    Database,
    Fence,
    Job,
    JobError,
    JobStatus,
    LeaseAnswer,
    NewJob,
    TransitionRefused,
    WriteSession,
    finish_failed,
    finish_succeeded,
    peek,
    release_crashed,
    release_preempted,
    request_cancel,
    request_pause,
    request_resume,
    retry_job,
)

Request = Callable[[WriteSession, str, str], Job]

REQUESTS: dict[str, Request] = {
    "cancel": request_cancel,
    "pause": request_pause,
    "resume": request_resume,
    "retry": retry_job,
}

#: State → request → the state that follows, or None where the request is refused.
TABLE: dict[str, dict[str, str | None]] = {
    "queued": {"cancel": "cancelled", "pause": "paused", "resume": "queued", "retry": None},
    "running": {"cancel": "cancelling", "pause": "pausing", "resume": "running", "retry": None},
    "pausing": {"cancel": "cancelling", "pause": "pausing", "resume": None, "retry": None},
    "paused": {"cancel": "cancelled", "pause": "paused", "resume": "queued", "retry": None},
    "cancelling": {"cancel": "cancelling", "pause": None, "resume": None, "retry": None},
    "succeeded": {"cancel": None, "pause": None, "resume": None, "retry": None},
    "failed": {"cancel": None, "pause": None, "resume": None, "retry": "failed"},
    "cancelled": {"cancel": None, "pause": None, "resume": None, "retry": "cancelled"},
}


@pytest.fixture
def ask(database: Database, team: str) -> Callable[[str, str], Job]:
    """Asks something of a job."""

    def ask(request: str, job_id: str) -> Job:
        with database.write() as session:
            return REQUESTS[request](session, team, job_id)

    return ask


@pytest.fixture
def bring(
    database: Database,
    submit: Callable[..., str],
    claim: Callable[[], Claim | None],
    ask: Callable[[str, str], Job],
) -> Callable[[str], str]:
    """Makes a job and brings it to a state."""

    def bring(state: str) -> str:
        job_id = submit()
        if state == "queued":
            return job_id
        if state == "paused":
            ask("pause", job_id)
            return job_id
        claimed = claim()
        assert claimed is not None
        if state == "pausing":
            ask("pause", job_id)
        if state in ("cancelling", "cancelled"):
            ask("cancel", job_id)
        with database.write() as session:
            if state == "succeeded":
                finish_succeeded(session, claimed.fence, {}, [], [])
            if state == "failed":
                finish_failed(session, claimed.fence, JobError("data_error", "Row 7."))
            if state == "cancelled":
                release_preempted(session, claimed.fence)
        return job_id

    return bring


@pytest.mark.parametrize(
    ("state", "request_", "words"),
    [
        ("pausing", "resume", "is pausing and cannot be resumed: wait until it is paused"),
        ("cancelling", "resume", "is cancelling and cannot be resumed: its cancellation has been asked for"),
        ("cancelling", "retry", "cannot be tried again: wait until it is cancelled"),
        ("running", "retry", "is running and cannot be tried again: only a job that has failed or was cancelled can"),
        ("paused", "retry", "cannot be tried again: resume it instead"),
        ("succeeded", "retry", "cannot be tried again: submit its spec again"),
        ("succeeded", "cancel", "has succeeded and cannot be cancelled: it has ended"),
        ("failed", "pause", "has failed and cannot be paused: it has ended, and can be tried again"),
    ],
)
def test_a_refusal_says_what_would_do(
    state: str, request_: str, words: str, bring: Callable[[str], str], ask: Callable[[str, str], Job]
) -> None:
    job_id = bring(state)
    with pytest.raises(TransitionRefused, match=words):
        ask(request_, job_id)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("state", TABLE)
def test_every_request_in_every_state(
    state: str, request_: str, bring: Callable[[str], str], ask: Callable[[str, str], Job], look: Callable[[str], Job]
) -> None:
    job_id, expected = bring(state), TABLE[state][request_]
    assert look(job_id).status == state
    if expected is None:
        with pytest.raises(TransitionRefused, match=state):
            ask(request_, job_id)
        assert look(job_id).status == state
        return
    ask(request_, job_id)
    assert look(job_id).status == expected
    version = look(job_id).version
    if TABLE[expected][request_] == expected and request_ != "retry":
        ask(request_, job_id)
        assert look(job_id).version == version, "asking again changes nothing"


@pytest.mark.parametrize("leave", [release_preempted, lambda s, f: release_crashed(s, f, JobError("x", "y"))])
def test_a_pausing_job_is_paused_however_its_attempt_leaves(
    database: Database,
    team: str,
    running: Fence,
    *,
    claim: Callable[[], Claim | None],
    ask: Callable[[str, str], Job],
    leave: Callable[[WriteSession, Fence], JobStatus],
) -> None:
    ask("pause", running.job_id)
    with database.read() as session:
        assert peek(session, running) is LeaseAnswer.PAUSE
    with database.write() as session:
        assert leave(session, running) is JobStatus.PAUSED
    assert claim() is None, "nobody takes a paused job"
    ask("resume", running.job_id)
    claimed = claim()
    assert claimed is not None
    assert claimed.fence == Fence(running.job_id, 2)


def test_a_retry_asks_for_all_that_the_job_asked_for(
    submit: Callable[..., str], ask: Callable[[str, str], Job], look: Callable[[str], Job]
) -> None:
    wanted = {
        "name": "nightly",
        "tags": {"kind": "test"},
        "priority": 3,
        "queue": "large",
        "warnings": ["slow"],
        "total_steps": 12,
        "max_attempts": 5,
        "max_runtime_s": 60.0,
        "gpus": 4,
        "method": "taylor",
        "target_sparsity": 0.25,
        "spec": {"seed": 7},
    }
    # Ids of stored rows; the end-to-end tests retry with both inputs, those of sweeps within one.
    others = {"dataset_id", "model_id", "sweep_id", "sweep_position"}
    assert set(wanted) | others == {field.name for field in fields(NewJob)}
    job_id = submit(**wanted)
    ask("cancel", job_id)
    again = look(ask("retry", job_id).id)
    assert {name: getattr(again, name) for name in wanted} == wanted
    assert again.retry_of == job_id
