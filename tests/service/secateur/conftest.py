"""One embedded service for the tests that only talk to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from secateur import Client
from secateur.resources import Job
from tests.service.secateur.up import Finished, Up, secateur


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running `secateur up`, in a data directory whose path is too long for a Unix socket."""
    with Up(tmp_path_factory.mktemp("up") / ("deep-" * 20) / "data") as up:
        yield up


@pytest.fixture
def client(service: Up) -> Iterator[Client]:
    """A client of the service."""
    with Client(service.url, service.key) as client:
        yield client


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny model and two splits of reviews."""
    from pyarrow import csv

    from tests.tiny import reviews, tiny_model, tiny_tokenizer  # imports torch, which most tests here do without

    directory = tmp_path_factory.mktemp("samples")
    model = tiny_model()
    # Embeddings of words that nobody says cost no training, and make a file that no socket buffer holds.
    model.resize_token_embeddings(150_000, mean_resizing=False)
    model.save_pretrained(directory / "tiny")
    tiny_tokenizer().save_pretrained(directory / "tiny")
    (directory / "tiny" / "README.md").write_text("Not a part of the model.")
    csv.write_csv(reviews(64, seed=1), directory / "train.csv")
    csv.write_csv(reviews(32, seed=2), directory / "validation.csv")
    return directory


@pytest.fixture(scope="session")
def spec(service: Up, samples: Path) -> dict[str, object]:
    """A spec of a job that takes a moment, its model and dataset uploaded by the command line."""
    files = [f"{split}={samples / split}.csv" for split in ("train", "validation")]
    dataset = secateur(service.data_dir, "datasets", "upload", "reviews", *files)
    assert dataset.code == 0, dataset.err
    model = secateur(service.data_dir, "models", "upload", "tiny", str(samples / "tiny"))
    assert model.code == 0, model.err
    assert "README.md" in model.err
    return {
        "model": f"upload://{model.out.strip()}",
        "dataset": f"upload://{dataset.out.strip()}",
        "method": "movement",
        "target_sparsity": 0.9,
        "training": {"max_steps": 20, "batch_size": 8},
    }


@pytest.fixture(scope="session")
def long_spec(spec: dict[str, object]) -> dict[str, object]:
    """A spec of a job that would take hours."""
    return spec | {"name": "long", "training": {"max_steps": 1_000_000, "batch_size": 8}}


@pytest.fixture(scope="session")
def waiting_spec(spec: dict[str, object]) -> dict[str, object]:
    """A spec of a job that waits until it is cancelled: the worker has not as many devices, and starts no trainer."""
    return spec | {"name": "waiting", "training": {"max_steps": 20, "batch_size": 8, "gpus": 2}}


@pytest.fixture(scope="session")
def succeeded(service: Up, spec: dict[str, object]) -> Finished:
    """A job submitted by the command line, from stdin, and watched to its end."""
    named = spec | {"name": "first", "tags": {"from": "the command line"}}
    return secateur(service.data_dir, "submit", "-", "--watch", "--json", stdin=json.dumps(named))


@pytest.fixture(scope="session")
def job(succeeded: Finished) -> Job:
    """That job as it was printed at its end."""
    return cast(Job, succeeded.json)
