"""What Prometheus reads, read with its own parser."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.meters import Meters
from store import Database, JobError, Scope, Settings, claim_next, create_key, ensure_team, finish_failed, open_database
from store.engine import ReadSession
from store.migrate import upgrade
from tests.unit.api.calling import Api
from tests.unit.api.uploads import bert_files, sentences

Series = dict[tuple[str, ...], float]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A service of its own: the figures are of all teams."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'secateur.db'}", broker_url="redis://127.0.0.1:1/0")
    upgrade(settings.database_url)
    database = open_database(settings.database_url)
    with database.write() as session:
        team = ensure_team(session, "red").id
        _, key = create_key(session, team, "all", list(Scope))
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield Api(client, database, team, key)
    database.close()


def scrape(client: TestClient) -> Series:
    """Name and label values → value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_never_by_path(api: Api) -> None:
    for id_ in ("job_1", "job_2"):
        assert api.get(f"/v1/jobs/{id_}").status_code == 404
    api.client.request("BREW", "/coffee/1")
    api.client.get("/coffee/2")
    found = scrape(api.client)
    assert found["secateur_http_requests_total", "GET", "/v1/jobs/{job_id}", "404"] == 2
    assert found["secateur_http_requests_total", "other", "other", "404"] == 1
    assert found["secateur_http_requests_total", "GET", "other", "404"] == 1
    assert found["secateur_http_answer_begun_seconds_count", "GET", "/v1/jobs/{job_id}"] == 2
    assert found["process_resident_memory_bytes",] > 1e6
    assert not [series for series in found if "job_1" in str(series) or "coffee" in str(series)]


def test_jobs_and_attempts_are_those_of_the_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.meters._FleetCollector.KEPT_S", 0.0)
    before = scrape(api.client)
    assert before["secateur_database_up",] == 1
    assert before["secateur_jobs", "queued"] == before["secateur_queue_longest_wait_seconds",] == 0
    model = api.upload_model(bert_files()).json()["uri"]
    dataset = api.upload_dataset(train=("train.csv", sentences(400))).json()["uri"]
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    for _ in range(3):
        assert api.submit(spec).status_code == 202
    with api.database.write() as session:
        claim = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claim is not None
    with api.database.write() as session:
        finish_failed(session, claim.fence, JobError("data_error", "Row 7 has no label.", None))
    with api.database.write() as session:
        assert claim_next(session, "default", "worker-1", lease_s=60.0)
    found = scrape(api.client)
    counts = {status: found["secateur_jobs", status] for status in ("queued", "running", "failed", "succeeded")}
    assert counts == {"queued": 1, "running": 1, "failed": 1, "succeeded": 0}
    assert found["secateur_attempts", "failed"] == 1
    assert 0 < found["secateur_queue_longest_wait_seconds",] < 60
    assert 0 <= found["secateur_attempt_oldest_heartbeat_seconds",] < 60


def test_the_database_is_not_asked_at_every_scrape(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    look = Database.read

    def read(database: Database) -> AbstractContextManager[ReadSession]:
        nonlocal asked
        asked += 1
        return look(database)

    monkeypatch.setattr(Database, "read", read)
    for _ in range(3):
        scrape(api.client)
    assert asked == 1


def test_without_a_database_the_rest_is_told(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/nowhere/secateur.db", broker_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(settings)) as client:
        found = scrape(client)
    assert found["secateur_database_up",] == 0
    assert "process_cpu_seconds_total" in {name for name, *_ in found}
    assert not [series for series in found if series[0] == "secateur_jobs"]


def test_openmetrics_is_given_to_those_who_ask(api: Api) -> None:
    answer = api.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_counting_needs_no_database() -> None:
    database = open_database("sqlite:////nowhere/secateur.db")
    meters = Meters(database)
    meters.count("GET", None, 499, None)
    assert (
        meters.registry.get_sample_value(
            "secateur_http_requests_total", {"method": "GET", "route": "other", "status": "499"}
        )
        == 1
    )
    database.close()
