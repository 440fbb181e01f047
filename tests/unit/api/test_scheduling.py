"""What a team sees of scheduling: positions in the line, and a limit that is named when it is reached."""

from typing import Any

import pytest
from sqlalchemy import update

from store import Job, claim_next, release_preempted
from tests.unit.api.calling import Api
from tests.unit.api.scheduling import leave_the_line_to_us, limit


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9, "priority": 1000}


@pytest.fixture(autouse=True)
def _nobody_elses_jobs(api: Api) -> None:
    leave_the_line_to_us(api)


def test_a_waiting_job_says_where_it_stands(api: Api, spec: dict[str, Any]) -> None:
    first, second = api.submit(spec), api.submit(spec)
    assert [answer.json()["queue_position"] for answer in (first, second)] == [1, 2]
    api.call("POST", f"{first.headers['location']}/cancel")
    assert api.get(first.headers["location"]).json()["queue_position"] is None
    assert api.get(second.headers["location"]).json()["queue_position"] == 1


def test_a_job_that_moves_up_is_news_to_a_poll(api: Api, spec: dict[str, Any]) -> None:
    first, path = api.submit(spec).headers["location"], api.submit(spec).headers["location"]
    etag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    api.call("POST", f"{first}/cancel")
    news = api.get(path, headers={"If-None-Match": etag})
    assert (news.status_code, news.json()["queue_position"]) == (200, 1)


def test_a_job_that_lost_its_worker_promises_no_end(api: Api, spec: dict[str, Any]) -> None:
    path = api.submit(spec).headers["location"]
    with api.database.write() as session:
        claim = claim_next(session, "default", "worker-1", 60.0)
        assert claim is not None
        session.execute(update(Job).where(Job.id == claim.fence.job_id).values(eta_s=12.0))
    assert api.get(path).json()["progress"]["eta_s"] == 12.0
    with api.database.write() as session:
        release_preempted(session, claim.fence)
    assert api.get(path).json()["progress"]["eta_s"] is None


def test_a_full_queue_is_a_429_that_says_what_to_do(api: Api, spec: dict[str, Any]) -> None:
    limit(api, max_queued=1)
    first = api.submit(spec, **{"Idempotency-Key": "k"})
    before = api.stored()
    refused = api.submit(spec)
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert refused.json()["type"] == "urn:secateur:problem:limit-reached"
    assert "max_queued" in refused.json()["detail"]
    assert "cancel" in refused.json()["detail"]
    assert api.stored() == before
    assert api.submit(spec, **{"Idempotency-Key": "k"}).json()["id"] == first.json()["id"]
    api.call("POST", f"{first.headers['location']}/cancel")
    assert api.submit(spec).status_code == 202
