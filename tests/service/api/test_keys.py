"""A key that is revoked through one API process is of no use in another, nor is what it had opened there."""

import threading
import time
from pathlib import Path

import httpx

from api.keyring import KNOWN_S
from tests.service.api.conftest import Served, Start, client_of
from tests.service.api.test_main_story import upload


def test_a_revoked_key_ends_everywhere_with_what_is_open_on_it(
    served: Served, start: Start, broker: str, model_files: list[Path]
) -> None:
    elsewhere = start(database_url=served.database_url, broker_url=broker)
    with client_of(served) as admin:
        job = admin.post("/v1/jobs", json=upload(admin, model_files)).json()["urls"]["self"]
        made = admin.post("/v1/keys", json={"name": "leaked"}).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        with httpx.Client(base_url=elsewhere, headers=headers, timeout=60) as thief:
            ended: dict[str, float] = {}

            def poll() -> None:
                assert thief.get(f"{job}?wait=50").status_code == 401
                ended["poll"] = time.monotonic()

            def follow() -> None:
                with thief.stream("GET", f"{job}/events", headers={"Accept": "text/event-stream"}) as stream:
                    text = "".join(stream.iter_text())
                assert "event: end" not in text
                ended["stream"] = time.monotonic()

            threads = [threading.Thread(target=each) for each in (poll, follow)]
            for thread in threads:
                thread.start()
            time.sleep(1.0)
            assert ended == {}
            assert thief.get(job).status_code == 200
            admin.delete(made["url"])
            began = time.monotonic()
            while thief.get(job).status_code == 200:
                assert time.monotonic() - began < KNOWN_S + 1
                time.sleep(0.05)
            for thread in threads:
                thread.join(timeout=10)
            assert thief.get(job).status_code == 401
        assert set(ended) == {"poll", "stream"}
        assert max(ended.values()) - began < 5
        admin.post(f"{job}/cancel")
