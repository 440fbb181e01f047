"""A service that is stopped, as for a new version: those who wait are answered, and nobody is cut off."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.service.api.conftest import Served, client_of
from tests.service.api.test_main_story import upload
from tests.serving import serving


def test_who_waits_is_answered_when_the_service_stops(tmp_path: Path, sqlite_url: str, model_files: list[Path]) -> None:
    with ThreadPoolExecutor(3) as waiting:
        with serving(tmp_path, {"database_url": sqlite_url, "broker_url": "redis://127.0.0.1:1/0"}) as url:
            with client_of(Served(url, sqlite_url)) as service:
                spec = upload(service, model_files)
                job = f"{url}{service.post('/v1/jobs', json=spec).headers['location']}"
                grid = {"base": spec, "grid": {"training.seed": [1, 2]}}
                sweep = f"{url}{service.post('/v1/sweeps', json=grid).headers['location']}"
                etag, key = service.get(job).headers["etag"], service.headers["authorization"]
                known = {"Authorization": key, "If-None-Match": service.get(sweep).headers["etag"]}
            conditions = {"Authorization": key, "If-None-Match": etag}
            poll = waiting.submit(httpx.get, f"{job}?wait=50", headers=conditions, timeout=60)
            poll_of_sweep = waiting.submit(httpx.get, f"{sweep}?wait=50", headers=known, timeout=60)
            listening = {"Authorization": key, "Accept": "text/event-stream"}
            stream = waiting.submit(httpx.get, f"{job}/events", headers=listening, timeout=60)
            time.sleep(1)
            assert not poll.done()
            assert not poll_of_sweep.done()
            assert not stream.done()
        stopped = time.monotonic()  # the process has ended
        assert (poll.result().status_code, poll_of_sweep.result().status_code) == (304, 304)
        assert "event: progress" in stream.result().text
        assert time.monotonic() - stopped < 1
