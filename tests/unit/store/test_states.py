"""The transition table, held against the promises made about it."""

import pytest

from store.states import ACTIVE, ALLOWED, TERMINAL, JobStatus


def test_every_state_has_a_row() -> None:
    assert set(ALLOWED) == set(JobStatus)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_follows_a_terminal_state(status: JobStatus) -> None:
    assert ALLOWED[status] == frozenset()


@pytest.mark.parametrize("status", sorted(set(JobStatus) - TERMINAL))
def test_from_every_other_state_an_end_can_be_reached(status: JobStatus) -> None:
    reached, frontier = set[JobStatus](), {status}
    while frontier:
        reached |= frontier
        frontier = {after for each in frontier for after in ALLOWED[each]} - reached
    assert reached & TERMINAL


def test_a_job_starts_only_from_the_queue() -> None:
    assert {status for status in JobStatus if JobStatus.RUNNING in ALLOWED[status]} == {JobStatus.QUEUED}


def test_a_job_succeeds_only_while_an_attempt_is_live() -> None:
    assert {status for status in JobStatus if JobStatus.SUCCEEDED in ALLOWED[status]} <= ACTIVE


def test_after_a_cancel_request_there_is_only_one_end() -> None:
    assert ALLOWED[JobStatus.CANCELLING] == {JobStatus.CANCELLED}
