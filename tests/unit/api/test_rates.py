"""How often a key may ask, counted by a real server, and what becomes of requests when that is away."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store import Database, Settings
from tests.unit.api.calling import Api
from tests.unit.api.conftest import new_team
from tests.valkey import new_server

Serve = Callable[..., Api]


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The URL of a real Valkey."""
    with new_server() as server:
        yield f"redis://{server.host}:{server.port}/0"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def serve(settings: Settings, database: Database) -> Iterator[Serve]:
    """Starts services with a limit; each is called by the same key of a new team unless told of another."""
    with ExitStack() as running:

        def serve(broker_url: str, rate_limit: str = "3/minute", like: Api | None = None) -> Api:
            chosen = Settings(**{**settings.model_dump(), "broker_url": broker_url, "rate_limit": rate_limit})
            client = running.enter_context(TestClient(create_app(chosen)))
            if like is None:
                return new_team(client, database)
            return Api(client, database, like.team, like.headers["Authorization"].removeprefix("Bearer "))

        yield serve


def test_a_request_too_many_is_told_when_to_come_back(serve: Serve, broker: str) -> None:
    api = serve(broker)
    answers = [api.get("/v1/methods") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=3;w=60'}
    standings = [answer.headers["ratelimit"].partition(";t=") for answer in answers]
    assert [standing for standing, *_ in standings] == ['"key";r=2', '"key";r=1', '"key";r=0', '"key";r=0']
    assert all(0 < int(seconds) <= 60 for *_, seconds in standings)
    refused = answers[-1]
    assert refused.headers["retry-after"] == standings[-1][2]
    assert refused.json()["type"] == "urn:secateur:problem:rate-limited"
    assert "3 times in 60 seconds" in refused.json()["detail"]


def test_keys_are_counted_each_for_itself_and_who_has_none_is_not(serve: Serve, broker: str) -> None:
    api = serve(broker)
    other = api.with_scopes("read")
    for _ in range(5):
        api.get("/v1/methods")
    assert other.get("/v1/methods").status_code == 200
    assert api.client.get("/healthz").status_code == 200
    nobody = api.client.get("/v1/methods")
    assert (nobody.status_code, "ratelimit" in nobody.headers) == (401, False)


def guess(api: Api, number: int) -> int:
    """Show a key that nobody has."""
    key = f"sec_{number:032x}_{'A' * 43}"
    return api.client.get("/v1/methods", headers={"Authorization": f"Bearer {key}"}).status_code


def test_an_address_that_guesses_keys_is_told_to_stop_and_good_keys_are_not(serve: Serve, broker: str) -> None:
    api = serve(broker, "5/minute")
    assert api.get("/v1/methods").status_code == 200
    codes = [guess(api, number) for number in range(7)]
    assert (codes[0], codes[-1], set(codes)) == (401, 429, {401, 429})
    answer = api.client.get("/v1/methods")
    assert (answer.status_code, int(answer.headers["retry-after"])) == (429, 60)
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/methods").status_code == 200, "who was let in before is, from the same address, too"


def test_processes_count_together(serve: Serve, broker: str) -> None:
    first = serve(broker)
    second = serve(broker, like=first)
    codes = [api.get("/v1/methods").status_code for api in (first, second) * 3]
    assert codes == [200, 200, 200, 429, 429, 429]


def test_a_new_window_is_a_new_chance(serve: Serve, broker: str) -> None:
    api = serve(broker, "2/second")
    until = time.monotonic() + 10
    while api.get("/v1/methods").status_code != 429:
        assert time.monotonic() < until
    time.sleep(1.1)
    assert api.get("/v1/methods").status_code == 200


def test_refusals_say_how_one_stands_too(serve: Serve, broker: str) -> None:
    api = serve(broker)
    answer = api.get(f"/v1/jobs/job_{'0' * 32}")
    assert (answer.status_code, answer.headers["ratelimit"][:9]) == (404, '"key";r=2')


def test_what_was_refused_so_is_no_entry_of_the_audit_log(serve: Serve, broker: str) -> None:
    api = serve(broker)
    for _ in range(5):
        api.submit({})
    reader = Api(serve(broker, "1000/minute").client, api.database, api.team, api.headers["Authorization"][7:])
    assert [entry["status"] for entry in reader.get("/v1/audit").json()["data"]] == [422, 422, 422]


@pytest.mark.parametrize("kind", ["hung", "dead", "none of Redis's"])
def test_without_its_server_each_process_counts_and_nobody_waits(
    serve: Serve, black_hole: str, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.rates.AWAY_S", 300.0)  # longer than this test takes on any machine
    url = {"hung": black_hole, "dead": "redis://127.0.0.1:1/0"}.get(kind, "amqp://127.0.0.1:1")
    api = serve(url)
    began = time.monotonic()
    assert [api.get("/v1/methods").status_code for _ in range(4)] == [200, 200, 200, 429], "it counts all the same"
    assert time.monotonic() - began < 20
    tried = capsys.readouterr().err.count("rates_counted_here")
    assert tried == (0 if kind == "none of Redis's" else 1), "one that did not answer is not asked again at once"


def test_unlimited_unless_told(api: Api) -> None:
    answers = [api.get("/v1/methods") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


@pytest.mark.parametrize("wrong", ["600", "0/minute", "600/fortnight", "many/minute", "600/minute; 1/second"])
def test_what_is_no_rate_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="600/minute"):
        Settings(rate_limit=wrong)
    assert Settings(rate_limit="").rate_limit is None
