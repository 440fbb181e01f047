"""Small real jobs: submitted over HTTP by a client that tries again, and what they must leave behind."""

import hashlib
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv

from tests.chaos.stage import Stage
from tests.tiny import reviews, save_tiny_model

#: What must come out bit for bit as if nothing had happened.
FILES = ("masks.safetensors", "model/model.safetensors")
#: Worth another try with the same Idempotency-Key: the first one is still on its way, or the service is not there.
_AGAIN = {httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS, *range(500, 600)}

Checksums = Mapping[str, str]
Spec = Mapping[str, Any]


def specs(steps: int) -> list[Spec]:
    """Several methods and seeds of the real science, each of so many steps."""
    return [
        {
            "method": method,
            "target_sparsity": sparsity,
            "training": {
                "max_steps": steps,
                "batch_size": 16,
                "learning_rate": 3e-3,
                "dense_baseline": False,
                "seed": seed,
            },
            # Many faults may hit the same job, and every one of them counts as a crash.
            "limits": {"max_attempts": 20},
        }
        for method, sparsity, seed in (
            ("movement", 0.8, 1),
            ("magnitude", 0.9, 2),
            ("soft_movement", 0.7, 3),
            ("taylor", 0.6, 4),
        )
    ]


def upload(client: httpx.Client, folder: Path) -> dict[str, str]:
    """Upload the tiny model and the reviews; answer the two lines of a spec that name them."""
    files = sorted(save_tiny_model(folder / "tiny").iterdir())
    parts = [("files", (file.name, file.read_bytes())) for file in files]
    model = client.post("/v1/models", data={"name": "tiny"}, files=parts).raise_for_status()
    rows = {"train": ("train.csv", _csv(reviews(320, seed=1))), "validation": ("eval.csv", _csv(reviews(60, seed=2)))}
    dataset = client.post("/v1/datasets", data={"name": "reviews"}, files=rows).raise_for_status()
    return {"model": model.json()["uri"], "dataset": dataset.json()["uri"]}


def checksums(client: httpx.Client, job_id: str) -> Checksums:
    """The sha256 of what a job's files hold, reckoned here from every byte."""
    return {
        name: hashlib.sha256(client.get(f"/v1/jobs/{job_id}/artifacts/{name}").raise_for_status().content).hexdigest()
        for name in FILES
    }


def undisturbed(
    client: httpx.Client, inputs: Mapping[str, str], chosen: Sequence[Spec], patience_s: float = 300.0
) -> list[Checksums]:
    """Run every spec once in peace, and return what each left behind."""
    ids = [client.post("/v1/jobs", json={**inputs, **spec}).raise_for_status().json()["id"] for spec in chosen]
    deadline = time.monotonic() + patience_s
    for job_id in ids:
        while not (job := client.get(f"/v1/jobs/{job_id}").raise_for_status().json())["finished_at"]:
            assert time.monotonic() < deadline, job
            time.sleep(0.3)
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job
    return [checksums(client, job_id) for job_id in ids]


@dataclass(frozen=True)
class Accepted:
    """A job that the service has said it will do.

    Attributes:
        id: the job's.
        spec: which of the specs.
        key: the Idempotency-Key it was submitted with.
    """

    id: str
    spec: int
    key: str


class Submitter(threading.Thread):
    """A client that keeps a few jobs in the service at all times, whatever happens to the service meanwhile."""

    def __init__(
        self, stage: Stage, chosen: Sequence[Spec], inputs: Mapping[str, str], seed: int, open_jobs: int
    ) -> None:
        super().__init__(name="submitter", daemon=True)
        self.accepted: dict[str, Accepted] = {}
        #: When the API last answered, on the monotonic clock.
        self.answered_at = 0.0
        #: Answers that made the client try again.
        self.refusals: Counter[str] = Counter()
        self.trouble: BaseException | None = None
        self._stage = stage
        self._specs = chosen
        self._inputs = inputs
        self._random = random.Random(seed)
        self._open_jobs = open_jobs
        self._open: set[str] = set()
        self._stop_requested = threading.Event()
        self._abandoned = threading.Event()

    def ask_to_stop(self) -> None:
        """Let it submit nothing more, but see to its end what is on its way: the service may have accepted it."""
        self._stop_requested.set()

    def abandon(self) -> None:
        """End it, whatever it is doing; for when the storm is over."""
        self._stop_requested.set()
        self._abandoned.set()
        self.join()

    def run(self) -> None:
        """Submit and look, until stopped."""
        try:
            with self._stage.client(timeout_s=3) as client:
                while not self._stop_requested.is_set():
                    self._look(client)
                    if len(self._open) < self._open_jobs:
                        self._submit(client)
                    self._stop_requested.wait(self._random.uniform(0.2, 1.0))
        except BaseException as error:  # noqa: BLE001 - kept for the main thread, which raises it
            self.trouble = error

    def _look(self, client: httpx.Client) -> None:
        for job_id in list(self._open):
            answer = self._ask(client, "GET", f"/v1/jobs/{job_id}")
            if answer is not None and answer.json()["finished_at"]:
                self._open.discard(job_id)
        self._ask(client, "GET", "/healthz")

    def _submit(self, client: httpx.Client) -> None:
        which = self._random.randrange(len(self._specs))
        key = str(uuid.UUID(int=self._random.getrandbits(128)))
        body = {**self._inputs, **self._specs[which]}
        while (answer := self._ask(client, "POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})) is None:
            if self._abandoned.wait(0.2):
                return
        job_id = answer.json()["id"]
        self.accepted[job_id] = Accepted(job_id, which, key)
        self._open.add(job_id)

    def _ask(self, client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response | None:
        """The answer; None where it is worth another try."""
        try:
            answer = client.request(method, path, **request)
        except httpx.TransportError as error:
            self.refusals[type(error).__name__] += 1
            return None
        if answer.status_code in _AGAIN:
            self.refusals[f"HTTP {answer.status_code}"] += 1
            return None
        self.answered_at = time.monotonic()
        return answer.raise_for_status()


def _csv(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
