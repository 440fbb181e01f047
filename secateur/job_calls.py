"""The part of `secateur.Client` that is about jobs."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from secateur import downloads, polling
from secateur.answers import array_of, list_of, object_of
from secateur.calls import PAGE_SIZE, Calls, path_to
from secateur.downloads import OnBytes
from secateur.resources import (
    Artifact,
    Attempt,
    Comparison,
    Event,
    Job,
    JobStatus,
    Layer,
    Log,
    Series,
    Sort,
    Validation,
)
from secateur.transport import Again, Params

#: What people look at.
_REPORT = "report.html"


class JobCalls(Calls):
    """Submits jobs, asks things of them, follows them, and fetches what they leave behind."""

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

    def validate(self, spec: Mapping[str, object]) -> Validation:
        """Check a spec as `submit` does, and make no job: what it would become, and what it would take.

        Raises:
            Invalid: The spec cannot be run; `errors` names each field at fault.
        """
        response = self._service.send("POST", "/v1/jobs:validate", again=Again.ALWAYS, json=dict(spec))
        return cast(Validation, object_of(response, "spec", "schedule"))

    def job(self, job_id: str) -> Job:
        """One job as it is now."""
        response = self._get(_job_path(job_id))
        return cast(Job, object_of(response, "id", "status"))

    def jobs(
        self,
        *,
        status: JobStatus | Sequence[JobStatus] | None = None,
        method: str | None = None,
        tag: str | Sequence[str] | None = None,
        q: str | None = None,
        pinned: bool | None = None,
        sort: Sort | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Job]:
        """The team's jobs; further pages are fetched as the iteration reaches them.

        Args:
            status: Only jobs in this status, or in one of these.
            method: Only jobs of this method.
            tag: Only jobs with this tag, as `key:value`, or with all of these.
            q: Only jobs with this in their name or id, or in the name or address of their model or dataset.
            pinned: Only jobs that are pinned, or only those that are not.
            sort: In what order; `-created_at`, newest first, where nothing is said.
            page_size: Jobs per request.
        """
        filters: Params = {
            "status": status,
            "method": method,
            "tag": tag,
            "q": q,
            "pinned": pinned,
            "sort": sort,
            "limit": page_size,
        }
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

    def retry(self, job_id: str, idempotency_key: str | None = None) -> Job:
        """Queue a copy of a job that failed or was cancelled, and return the copy.

        Args:
            job_id: The job to try again.
            idempotency_key: As for `submit`: the same key gives the same copy; one is made up where none is given.

        Raises:
            Conflict: It has not ended, or has succeeded.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        response = self._service.send("POST", _job_path(job_id, "retry"), again=Again.ALWAYS, headers=headers)
        return cast(Job, object_of(response, "id", "status"))

    def pin(self, job_id: str) -> Job:
        """Keep a job's checkpoints and files, however old it grows."""
        return self._ask(job_id, "pin", again=Again.ALWAYS)

    def unpin(self, job_id: str) -> Job:
        """Leave a job's checkpoints and files to the service's retention policy again."""
        return self._ask(job_id, "unpin", again=Again.ALWAYS)

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, and all it left behind.

        Raises:
            Conflict: It has not ended.
        """
        self._service.send("DELETE", _job_path(job_id), again=Again.IF_NOT_SENT)

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

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """A job's history: the events with `seq` greater than `after`, oldest first."""
        found: list[Event] = []
        while page := cast(list[Event], array_of(self._get(_job_path(job_id, "events"), {"after": after}))):
            found += page
            after = page[-1]["seq"]
        return found

    def follow(self, job_id: str, after: int = 0, *, outage_s: float = 300.0) -> Iterator[Event]:
        """A job's events as they happen, until it has ended: first those with `seq` greater than `after`.

        When the connection breaks, another goes on behind the last event, so that none is missed and none comes twice.

        Args:
            job_id: The job.
            after: The last event already known.
            outage_s: Seconds without any answer after which to give up.
        """
        return polling.follow(self._service, _job_path(job_id, "events"), after, outage_s)

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

    def mask_picture(self, job_id: str, layer: str, side: int | None = None) -> list[list[float]]:
        """One layer's mask seen from afar: the kept share of each cell, rows of the matrix from top to bottom.

        Args:
            job_id: Which job.
            layer: A `name` of `masks`.
            side: Most cells along a side; 64 unless told.

        Raises:
            Invalid: The job has no such layer, or no masks yet.
        """
        response = self._get(_job_path(job_id, "masks"), {"layer": layer, "side": side})
        return cast(dict[str, list[list[float]]], object_of(response, "picture")["picture"])["density"]

    def compare(self, job_ids: Sequence[str]) -> Comparison:
        """Two to twenty jobs side by side: what differs between their specs, and what came of each."""
        return cast(Comparison, object_of(self._get("/v1/compare", {"job": job_ids}), "differences", "jobs"))

    def compare_csv(self, job_ids: Sequence[str]) -> str:
        """The same as CSV, a row for each job."""
        return self._get("/v1/compare", {"job": job_ids}, {"Accept": "text/csv"}).text

    def wait(
        self,
        job_id: str,
        on_change: Callable[[Job], None] | None = None,
        *,
        timeout_s: float | None = None,
        outage_s: float = 300.0,
    ) -> Job:
        """Return the job when it has ended.

        Each request waits for a change of the job, and a shorter outage of the service is waited out.

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

    def download(self, job_id: str, directory: str | Path, on_bytes: OnBytes = downloads.ignore) -> list[Path]:
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

    def report(self, job_id: str) -> dict[str, object]:
        """A job's `report.json`: what was done, what came of it, and how sure that is.

        Raises:
            NotFound: The job has none; only one that succeeded has.
        """
        return dict(object_of(self._get(_job_path(job_id, "artifacts", "report.json")), "version"))

    def download_report(self, job_id: str, path: str | Path) -> Path:
        """Bring a job's `report.html` to a file, verified by its sha256; return where it is.

        Raises:
            NotFound: The job has none: it has not succeeded, or its report could not be drawn.
            BrokenDownload: It arrived altered; it was not kept.
            LocalFileError: The file cannot be written.
        """
        found = [entry for entry in self.artifacts(job_id) if entry["name"] == _REPORT]
        if not found:
            self._get(_job_path(job_id, "artifacts", _REPORT))  # the service says why not
        downloads.fetch(self._service, job_id, found[0], Path(path), downloads.ignore)
        return Path(path)

    def _ask(self, job_id: str, what: str, again: Again = Again.IF_NOT_SENT) -> Job:
        response = self._service.send("POST", _job_path(job_id, what), again=again)
        return cast(Job, object_of(response, "id", "status"))


def _job_path(job_id: str, *below: str) -> str:
    return path_to("jobs", job_id, *below)
