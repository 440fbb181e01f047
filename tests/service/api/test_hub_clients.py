"""The stock clients of the Hugging Face Hub download from a running service, each in a process of its own.

They read `HF_ENDPOINT` and their cache's place when they are imported, so nothing of them can be tried in this process.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from store import open_database
from tests.service.api.conftest import Served, client_of
from tests.service.api.test_main_story import upload
from tests.unit.api.finishing import finish

pytestmark = pytest.mark.slow

#: Each client takes a second to start, and sees no difference between databases; the others tell whether there is one.
over_sqlite = pytest.mark.parametrize("served", ["sqlite"], indirect=True, scope="session")


@dataclass(frozen=True)
class Hub:
    """A service as a hub, with what a team has in it, and the settings that the clients read."""

    service: httpx.Client
    job_id: str
    model_id: str
    dataset_id: str
    environment: dict[str, str]

    def python(self, code: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a program with the stock clients."""
        return self.run([sys.executable, "-c", dedent(code)], **changes)

    def run(self, command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **changes}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def hub(served: Served, model_files: list[Path], tmp_path: Path) -> Iterator[Hub]:
    """A service where a team has uploaded a model and a dataset, and one job has made a model of the same files."""
    with client_of(served) as service:
        spec = {**upload(service, model_files), "priority": 1000}
        job_id = service.post("/v1/jobs", json=spec).json()["id"]
        database = open_database(served.database_url)
        files = {f"model/{file.name}": file.read_bytes() for file in model_files}
        assert finish(database, {**files, "report.json": b"{}"}, {}) == f"/v1/jobs/{job_id}"
        database.close()
        model_id, dataset_id = (str(spec[name]).removeprefix("upload://") for name in ("model", "dataset"))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))},
            "HF_ENDPOINT": f"{served.url}/hf",
            "HF_TOKEN": service.headers["authorization"].removeprefix("Bearer "),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        yield Hub(service, job_id, model_id, dataset_id, environment)


def good(run: subprocess.CompletedProcess[str]) -> str:
    """What a program printed that ended well."""
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@over_sqlite
def test_transformers_loads_the_pruned_model_and_its_tokenizer(hub: Hub) -> None:
    printed = good(
        hub.python(f"""
            import torch
            from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
            tokenizer = AutoTokenizer.from_pretrained("jobs/{hub.job_id}")
            model = AutoModelForSequenceClassification.from_pretrained("jobs/{hub.job_id}")
            AutoModel.from_pretrained("models/{hub.model_id}")
            print(model(**tokenizer("a great film", return_tensors="pt")).logits.shape)
        """)
    )
    assert printed == "torch.Size([1, 2])"


def test_a_snapshot_is_the_model_byte_for_byte(hub: Hub, model_files: list[Path]) -> None:
    folder = Path(
        good(hub.python(f'import huggingface_hub; print(huggingface_hub.snapshot_download("jobs/{hub.job_id}"))'))
    )
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        file.name: file.read_bytes() for file in model_files
    }
    sha256s = {hashlib.sha256(file.read_bytes()).hexdigest() for file in model_files}
    assert {file.name for file in (folder.parents[1] / "blobs").iterdir()} == sha256s, "files are named by ETag"
    # The same files are the same commit, whether a job made them or somebody uploaded them.
    assert folder.name == hub.service.get(f"/hf/api/models/models/{hub.model_id}/revision/main").json()["sha"]
    again = hub.python(
        f'import huggingface_hub; print(huggingface_hub.snapshot_download("jobs/{hub.job_id}"))', HF_HUB_OFFLINE="1"
    )
    assert good(again) == str(folder), "the client knows that its copy is whole"


def test_one_file_by_name_and_by_commit(hub: Hub, model_files: list[Path]) -> None:
    printed = good(
        hub.python(f"""
            import huggingface_hub
            commit = huggingface_hub.model_info("jobs/{hub.job_id}", files_metadata=True).sha
            for revision in ("main", commit, None):
                print(huggingface_hub.hf_hub_download("jobs/{hub.job_id}", "config.json", revision=revision))
        """)
    )
    [config] = [file for file in model_files if file.name == "config.json"]
    assert [Path(line).read_bytes() for line in printed.splitlines()] == [config.read_bytes()] * 3


def test_a_download_that_broke_off_goes_on_where_it_was(hub: Hub, model_files: list[Path]) -> None:
    [weights] = [file for file in model_files if file.suffix == ".safetensors"]
    printed = good(
        hub.python(f"""
            import hashlib, io, huggingface_hub.file_download as downloads
            half = io.BytesIO(open({str(weights)!r}, "rb").read(40_000))
            half.seek(0, io.SEEK_END)
            url = downloads.hf_hub_url("jobs/{hub.job_id}", "model.safetensors")
            size = downloads.get_hf_file_metadata(url).size
            downloads.http_get(
                url, half, resume_size=half.tell(), headers=downloads.build_hf_headers(), expected_size=size
            )
            print(hashlib.sha256(half.getvalue()).hexdigest())
        """)
    )
    assert printed == hashlib.sha256(weights.read_bytes()).hexdigest()


@over_sqlite
def test_the_command_line_downloads(hub: Hub, tmp_path: Path, model_files: list[Path]) -> None:
    hf = [sys.executable, "-m", "huggingface_hub.cli.hf"]  # what the script `hf` calls
    good(hub.run([*hf, "download", f"jobs/{hub.job_id}", "--local-dir", str(tmp_path / "all")]))
    assert {file.name for file in (tmp_path / "all").iterdir() if file.is_file()} == {file.name for file in model_files}
    split = "data/validation-00000-of-00001.parquet"
    folder = tmp_path / "data"
    good(hub.run([*hf, "download", f"hf://datasets/datasets/{hub.dataset_id}/{split}", "--local-dir", str(folder)]))
    uploaded = hub.service.get(f"/v1/datasets/{hub.dataset_id}").json()["splits"][1]
    assert hashlib.sha256((folder / split).read_bytes()).hexdigest() == uploaded["sha256"]


@over_sqlite
def test_a_dataset_is_a_folder_of_parquet_files_to_everything_that_reads_hf_paths(hub: Hub) -> None:
    printed = good(
        hub.python(f"""
            import pyarrow.parquet as pq
            from huggingface_hub import HfFileSystem
            files = HfFileSystem()
            for path in sorted(files.glob("datasets/datasets/{hub.dataset_id}/**/*.parquet")):
                with files.open(path, "rb") as file:
                    # With no thread of Arrow's: one that still holds a Python file aborts an interpreter that ends.
                    table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
                    print(path.rpartition("/")[2], table.num_rows)
            print(files.exists("datasets/datasets/{hub.dataset_id}/no.parquet"))
        """)
    )
    assert printed.splitlines() == [
        "train-00000-of-00001.parquet 400",
        "validation-00000-of-00001.parquet 60",
        "False",
    ]


@over_sqlite
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ('hf_hub_download("jobs/{job}", "no.json")', "RemoteEntryNotFoundError"),
        ('hf_hub_download("jobs/{job}", "config.json", revision="dev")', "RevisionNotFoundError"),
        ('snapshot_download("jobs/{job}", revision="dev")', "RevisionNotFoundError"),
        ('hf_hub_download("jobs/job_{zeros}", "config.json")', "RepositoryNotFoundError"),
        ('snapshot_download("google-bert/bert-base-uncased")', "RepositoryNotFoundError"),
        ('hf_hub_download("gpt2", "config.json")', "RepositoryNotFoundError"),
        ('model_info("gpt2")', "RepositoryNotFoundError"),
        ('hf_hub_download("jobs/{job}", "config.json", token=False)', "RepositoryNotFoundError"),
        ('model_info("jobs/{job}", token=False)', "RepositoryNotFoundError"),
        ('hf_hub_download("jobs/{job}", "config.json", token="hf_wrong")', "HfHubHTTPError"),
    ],
)
def test_refusals_raise_what_the_hubs_do(hub: Hub, call: str, error: str) -> None:
    code = call.replace("{job}", hub.job_id).replace("{zeros}", "0" * 32)
    run = hub.python(f"""
        import huggingface_hub
        try:
            huggingface_hub.{code}
        except Exception as error:
            print(type(error).__name__)
    """)
    assert good(run) == error


def test_another_teams_key_finds_nothing(hub: Hub, served: Served) -> None:
    with client_of(served) as stranger:
        for path in (
            f"api/models/jobs/{hub.job_id}",
            f"api/models/models/{hub.model_id}/tree/main",
            f"api/datasets/datasets/{hub.dataset_id}/revision/main",
            f"jobs/{hub.job_id}/resolve/main/config.json",
            f"models/{hub.model_id}/resolve/main/config.json",
            f"datasets/datasets/{hub.dataset_id}/resolve/main/data/train-00000-of-00001.parquet",
        ):
            assert hub.service.get(f"/hf/{path}").status_code == 200, path
            answer = stranger.get(f"/hf/{path}")
            assert (answer.status_code, answer.headers["x-error-code"]) == (404, "RepoNotFound"), path
            assert json.loads(answer.text)["title"] == "Not found"
