"""A look at a job goes a shorter way through the service, and whoever asks cannot tell."""

from fastapi.testclient import TestClient
from httpx2 import Response  # what Starlette's client answers with

from api.app import create_app
from store import Database, Settings
from tests.unit.api.calling import Api
from tests.unit.api.conftest import new_team


def both_ways(api: Api, job: str, **headers: str) -> tuple[Response, Response]:
    """The answer by the short way, and by FastAPI's, which takes all that has parameters."""
    path = f"/v1/jobs/{job}"
    return api.get(path, headers=headers), api.get(f"{path}?wait=0", headers=headers)


def same(answers: tuple[Response, Response]) -> Response:
    """Either, if they are alike but for what names the request."""
    told = [{**answer.json(), "request_id": None} if answer.content else None for answer in answers]
    names = [sorted(set(answer.headers) - {"date", "x-request-id", "content-length"}) for answer in answers]
    assert told[0] == told[1]
    assert names[0] == names[1]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.get("content-type") == answers[1].headers.get("content-type")
    return answers[0]


def test_both_ways_answer_alike(api: Api, client: TestClient, database: Database, model: str, dataset: str) -> None:
    job = api.submit({"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.5}).json()["id"]
    shown = same(both_ways(api, job))
    assert (shown.status_code, shown.json()["id"]) == (200, job)
    assert same(both_ways(api, job, **{"If-None-Match": shown.headers["etag"]})).status_code == 304
    assert same(both_ways(api, "job_" + "0" * 32)).status_code == 404
    assert same(both_ways(api, job, Authorization="Bearer sec_no")).status_code == 401
    assert same(both_ways(api, job, Authorization="")).status_code == 401
    assert same(both_ways(new_team(client, database), job)).status_code == 404, "another team's"


def test_looks_are_counted_under_their_route(api: Api) -> None:
    def counted() -> float:
        wanted = 'secateur_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} '
        lines = api.client.get("/metrics").text.splitlines()
        return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0.0)

    before = counted()
    both_ways(api, "job_" + "0" * 32)
    assert counted() == before + 2


def test_looks_are_limited_as_all_requests_are(settings: Settings, database: Database) -> None:
    limited = Settings(**{**settings.model_dump(), "rate_limit": "3/minute"})
    with TestClient(create_app(limited)) as client:
        api = new_team(client, database)
        answers = [api.get(f"/v1/jobs/job_{'0' * 32}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert all("ratelimit" in answer.headers for answer in answers)
