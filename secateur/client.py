"""`Client`: the service's HTTP contract as typed methods."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import quote

import httpx

from secateur import address, downloads, polling, uploads
from secateur.answers import array_of, list_of, object_of
from secateur.downloads import OnBytes
from secateur.errors import NotConfigured
from secateur.resources import (
    Artifact,
    Attempt,
    Dataset,
    Event,
    Health,
    Job,
    JobStatus,
    Layer,
    Log,
    Method,
    Model,
    Series,
    Sort,
)
from secateur.transport import Again, Params, Transport

PAGE_SIZE = 100
# The service may check and compress a large upload for minutes before it answers.
UPLOAD_TIMEOUT_S = 900.0


def _ignore(_: int) -> None:
    """Nobody wants to know."""


class Client:
    """Talks to a Secateur service.

    ```python
    with secateur.Client() as client:
        job = client.submit({"model": …, "dataset": …, "method": "movement", "target_sparsity": 0.9})
        if client.wait(job["id"])["status"] == "succeeded":
            client.download(job["id"], Path("pruned"))
    ```

    Requests that are safe to repeat are repeated, with pauses, when the connection breaks or the service says 503.
    Every method raises `secateur.ApiProblem` where the service refuses and `secateur.ServiceUnreachable` where no
    answer comes. A client may be shared between threads.
    """

    def __init__(self, base_url: str | None = None, key: str | None = None, timeout: float = 30.0) -> None:
        """Find the service; nothing is sent yet.

        Args:
            base_url: Its address; else `SECATEUR_URL`, else that of the `secateur up` on this machine.
            key: The bearer key; else `SECATEUR_KEY`, else, for the `secateur up` on this machine, its admin key.
            timeout: Seconds without any progress before a request is given up.

        Raises:
            NotConfigured: There is no address, or the address or key is malformed.
        """
        self._address = address.find(base_url, key)
        self._transport = Transport(self._address, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._address.url!r})"

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self._address.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(self, spec: Mapping[str, object], idempotency_key: str | None = None) -> Job:
        """Submit a job.

        Args:
            spec: At least `model`, `dataset`, `method` and `target_sparsity`.
            idempotency_key: The same key and spec give the same job for 24 hours. One is made up where none is
                given, so that trying again after a broken connection never makes a second job.

        Raises:
            Invalid: The spec cannot be run; `errors` names each field at fault.
        """
        key = idempotency_key or str(uuid.uuid4())
        response = self._service.send(
            "POST", "/v1/jobs", again=Again.ALWAYS, json=dict(spec), headers={"Idempotency-Key": key}
        )
        return cast(Job, object_of(response, "id", "status"))

    def job(self, job_id: str) -> Job:
        """One job as it is now."""
        response = self._get(_job_path(job_id))
        return cast(Job, object_of(response, "id", "status"))

    def jobs(
        self,
        *,
        status: JobStatus | None = None,
        method: str | None = None,
        tag: str | None = None,
        q: str | None = None,
        sort: Sort | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Job]:
        """The team's jobs; further pages are fetched as the iteration reaches them.

        Args:
            status: Only jobs in this status.
            method: Only jobs of this method.
            tag: Only jobs with this tag, as `key:value`.
            q: Only jobs whose name or id contains this.
            sort: By age; `-created_at`, newest first, where nothing is said.
            page_size: Jobs per request.
        """
        filters = {"status": status, "method": method, "tag": tag, "q": q, "sort": sort, "limit": page_size}
        for entry in self._pages("/v1/jobs", filters):
            yield cast(Job, entry)

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to stop; a running one is `cancelling` for a moment.

        Raises:
            Conflict: It has already ended.
        """
        return self._ask(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Ask a job to let go of its worker; a running one is `pausing` until its checkpoint is saved.

        Raises:
            Conflict: It has already ended, or is being cancelled.
        """
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again; it goes on from its checkpoint.

        Raises:
            Conflict: It is still pausing, or has ended.
        """
        return self._ask(job_id, "resume")

    def retry(self, job_id: str) -> Job:
        """Queue a copy of a job that failed or was cancelled, and return the copy.

        Raises:
            Conflict: It has not ended, or has succeeded.
        """
        return self._ask(job_id, "retry")

    def attempts(self, job_id: str) -> list[Attempt]:
        """A job's attempts, oldest first: which worker, when, and how each ended."""
        return cast(list[Attempt], object_of(self._get(_job_path(job_id, "attempts")), "data")["data"])

    def logs(self, job_id: str, attempt: int | None = None, tail: int | None = None) -> list[Log]:
        """The end of what each attempt's trainer printed, oldest first.

        Args:
            job_id: Which job.
            attempt: Only this attempt's.
            tail: Only so many of the last lines of each.
        """
        response = self._get(_job_path(job_id, "logs"), {"attempt": attempt, "tail": tail})
        return cast(list[Log], object_of(response, "data")["data"])

    def _ask(self, job_id: str, what: str) -> Job:
        response = self._service.send("POST", _job_path(job_id, what), again=Again.IF_NOT_SENT)
        return cast(Job, object_of(response, "id", "status"))

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """A job's history: the events with `seq` greater than `after`, oldest first."""
        found: list[Event] = []
        while page := cast(list[Event], array_of(self._get(_job_path(job_id, "events"), {"after": after}))):
            found += page
            after = page[-1]["seq"]
        return found

    def metrics(self, job_id: str, name: str | None = None, max_points: int | None = None) -> Series:
        """A job's curves, by metric name, each point `[step, value, time]`.

        `name` asks for one metric only, `max_points` for each curve to be thinned to about so many points.
        """
        response = self._get(_job_path(job_id, "metrics"), {"name": name, "max_points": max_points})
        return cast(Series, object_of(response, "series")["series"])

    def masks(self, job_id: str) -> list[Layer]:
        """How many weights of each pruned matrix a job kept."""
        response = self._get(_job_path(job_id, "masks"))
        return cast(list[Layer], list_of(response))

    def wait(
        self,
        job_id: str,
        on_change: Callable[[Job], None] | None = None,
        *,
        timeout_s: float | None = None,
        outage_s: float = 300.0,
    ) -> Job:
        """Poll until the job has ended, and return it.

        A poll that finds nothing new costs one cheap answer (304), and a shorter outage of the service is waited out.

        Args:
            job_id: The job.
            on_change: Told each new state of the job, the first and the last included.
            timeout_s: Seconds to wait at most.
            outage_s: Seconds without any answer after which to give up.

        Raises:
            WaitTimeout: The job goes on running after `timeout_s`.
        """
        return polling.wait(self._service, _job_path(job_id), on_change, timeout_s, outage_s)

    def artifacts(self, job_id: str) -> list[Artifact]:
        """The files a job left behind."""
        response = self._get(_job_path(job_id, "artifacts"))
        return cast(list[Artifact], list_of(response))

    def download(self, job_id: str, directory: str | Path, on_bytes: OnBytes = _ignore) -> list[Path]:
        """Bring every artifact of a job below a directory, each verified by its sha256.

        Files already there with the right content stay, so a download that broke can be repeated. The paths come back
        in the order of the artifacts.

        Args:
            job_id: The job.
            directory: Where to; made if it does not exist.
            on_bytes: Told of bytes as they arrive.

        Raises:
            BrokenDownload: A file arrived altered, or its name leads out of the directory; it was not kept.
            LocalFileError: A file cannot be written.
        """
        wanted = [(downloads.target_path(Path(directory), entry["name"]), entry) for entry in self.artifacts(job_id)]
        for path, entry in wanted:
            if downloads.is_present(path, entry):
                on_bytes(entry["size"])
            else:
                downloads.fetch(self._service, job_id, entry, path, on_bytes)
        return [path for path, _ in wanted]

    def upload_dataset(self, name: str, splits: Mapping[str, str | Path], on_bytes: OnBytes = _ignore) -> Dataset:
        """Upload a dataset, one CSV, TSV, JSONL, Parquet or SQuAD JSON file for each split.

        Args:
            name: What to call it.
            splits: The file of each split: `{"train": "train.csv", "validation": "dev.csv"}`.
            on_bytes: Told of bytes as they are sent.

        Raises:
            Invalid: A file is refused; `errors` names file, line and reason.
            LocalFileError: A file cannot be read.
        """
        fields = uploads.dataset_files({split: Path(path) for split, path in splits.items()})
        return cast(Dataset, self._upload("/v1/datasets", name, fields, on_bytes))

    def upload_model(self, name: str, directory: str | Path, on_bytes: OnBytes = _ignore) -> Model:
        """Upload a model's Hugging Face directory: configuration, tokenizer and safetensors weights.

        Other files in it (read-me, pickled weights, subdirectories) are left out; `uploads.model_files` lists them.

        Args:
            name: What to call it.
            directory: What `save_pretrained` wrote.
            on_bytes: Told of bytes as they are sent.

        Raises:
            Invalid: The service cannot take the model.
            LocalFileError: A file cannot be read, or the directory holds no model.
        """
        fields, _ = uploads.model_files(Path(directory))
        return cast(Model, self._upload("/v1/models", name, fields, on_bytes))

    def datasets(self) -> Iterator[Dataset]:
        """The team's datasets."""
        for entry in self._pages("/v1/datasets", {"limit": PAGE_SIZE}):
            yield cast(Dataset, entry)

    def models(self) -> Iterator[Model]:
        """The team's models."""
        for entry in self._pages("/v1/models", {"limit": PAGE_SIZE}):
            yield cast(Model, entry)

    def methods(self) -> list[Method]:
        """The pruning methods and their parameters."""
        return cast(list[Method], list_of(self._get("/v1/methods")))

    def health(self) -> Health:
        """Whether the service is ready; needs no key."""
        response = self._transport.send("GET", "/readyz", again=Again.ALWAYS, passing=(503,))
        return cast(Health, object_of(response, "status", "checks"))

    @property
    def _service(self) -> Transport:
        """The way to everything that needs a key."""
        if self._address.key is None:
            raise NotConfigured(
                f"There is no key for {self._address.url}. Give one with --key or SECATEUR_KEY; "
                "whoever runs the service hands them out."
            )
        return self._transport

    def _get(self, path: str, params: Params | None = None) -> httpx.Response:
        return self._service.send("GET", path, again=Again.ALWAYS, params=params)

    def _pages(self, path: str, params: Params) -> Iterator[object]:
        cursor: object = None
        while True:
            response = self._get(path, {**params, "cursor": cursor if isinstance(cursor, str) else None})
            yield from list_of(response)
            cursor = object_of(response).get("next_cursor")
            if not cursor:
                return

    def _upload(self, path: str, name: str, fields: uploads.Fields, on_bytes: OnBytes) -> dict[str, object]:
        outgoing = uploads.Outgoing(fields, on_bytes)
        response = self._service.upload(path, {"name": name}, outgoing.open, UPLOAD_TIMEOUT_S)
        return object_of(response, "id")


def _job_path(job_id: str, *below: str) -> str:
    return "/".join(["/v1/jobs", quote(job_id, safe=""), *below])
