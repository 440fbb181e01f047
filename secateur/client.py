"""`Client`: the service's HTTP contract as typed methods."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import cast

from secateur import downloads, resumable, uploads
from secateur.answers import list_of, object_of
from secateur.calls import PAGE_SIZE, path_to
from secateur.downloads import OnBytes
from secateur.job_calls import JobCalls
from secateur.key_calls import KeyCalls
from secateur.resources import Dataset, Health, Method, Model, Usage
from secateur.sweep_calls import SweepCalls
from secateur.transport import Again
from secateur.webhook_calls import WebhookCalls

# The service may check and compress a large upload for minutes before it answers.
UPLOAD_TIMEOUT_S = 900.0


class Client(JobCalls, SweepCalls, KeyCalls, WebhookCalls):
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

    def upload_dataset(
        self, name: str, splits: Mapping[str, str | Path], on_bytes: OnBytes = downloads.ignore
    ) -> Dataset:
        """Upload a dataset, one CSV, TSV, JSONL, Parquet or SQuAD JSON file for each split.

        Large files are sent in parts, and go on where a connection breaks.

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

    def upload_model(self, name: str, directory: str | Path, on_bytes: OnBytes = downloads.ignore) -> Model:
        """Upload a model's Hugging Face directory: configuration, tokenizer and safetensors weights.

        Large files are sent in parts, and go on where a connection breaks.

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

    def dataset(self, dataset_id: str) -> Dataset:
        """One dataset: columns, splits, labels and the first rows."""
        return cast(Dataset, object_of(self._get(path_to("datasets", dataset_id)), "id", "columns"))

    def model(self, model_id: str) -> Model:
        """One model: type, sizes, files, and what of it can be pruned."""
        return cast(Model, object_of(self._get(path_to("models", model_id)), "id", "files"))

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset.

        Raises:
            Conflict: A job that has not ended uses it.
        """
        self._service.send("DELETE", path_to("datasets", dataset_id), again=Again.IF_NOT_SENT)

    def delete_model(self, model_id: str) -> None:
        """Delete a model.

        Raises:
            Conflict: A job that has not ended uses it.
        """
        self._service.send("DELETE", path_to("models", model_id), again=Again.IF_NOT_SENT)

    def methods(self) -> list[Method]:
        """The pruning methods and their parameters."""
        return cast(list[Method], list_of(self._get("/v1/methods")))

    def usage(self, first: date | None = None, last: date | None = None) -> Usage:
        """What the team has used, by day (UTC); the last 30 days unless told. Needs a key with the scope `admin`."""
        days = {"from": first, "to": last}
        asked = {name: None if day is None else day.isoformat() for name, day in days.items()}
        return cast(Usage, object_of(self._get("/v1/usage", asked), "total", "days"))

    def health(self) -> Health:
        """Whether the service is ready; needs no key."""
        response = self._transport.send("GET", "/readyz", again=Again.ALWAYS, passing=(503,))
        return cast(Health, object_of(response, "status", "checks"))

    def _upload(self, path: str, name: str, fields: uploads.Fields, on_bytes: OnBytes) -> dict[str, object]:
        large = [(field, file) for field, file in fields if file.stat().st_size >= resumable.LARGE]
        named: dict[str, list[str]] = {}
        for field, file in large:
            named.setdefault(field, []).append(resumable.send(self._service, file, on_bytes, UPLOAD_TIMEOUT_S))
        outgoing = uploads.Outgoing([each for each in fields if each not in large], on_bytes)
        response = self._service.upload(path, {"name": name, **named}, outgoing.open, UPLOAD_TIMEOUT_S)
        return object_of(response, "id")
