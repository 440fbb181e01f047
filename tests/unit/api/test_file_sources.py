"""file:// models and datasets: only below the roots, whatever links lead where, and fixed at submit."""

import os
import threading
from pathlib import Path

import pytest

from api.sources.problems import SourceRefused
from api.sources.roots import Below, roots_of
from store import Settings
from tests.unit.api.calling import Api, detail
from tests.unit.api.test_teachers import with_head
from tests.unit.api.uploads import bert_files, sentences


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    """A folder of this test's own below the service's root."""
    assert settings.file_roots is not None
    folder = Path(settings.file_roots) / tmp_path.name
    folder.mkdir()
    return folder


@pytest.fixture
def spec(root: Path) -> dict[str, object]:
    """The spec of a job whose model and dataset lie below the root."""
    write(root / "bert", {**bert_files(), "README.md": b"# BERT", "pytorch_model.bin": b"pickle", ".git": b""})
    write(root / "reviews", {"train.csv": sentences(400), "validation.csv": sentences(40), "notes.txt": b"-"})
    uris = {"model": f"file://{root.name}/bert", "dataset": f"file://{root.name}/reviews"}
    return {**uris, "method": "movement", "target_sparsity": 0.9}


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_job_reads_what_lay_there_when_it_was_submitted(api: Api, spec: dict[str, object], root: Path) -> None:
    job = api.submit(spec)
    assert job.status_code == 202, job.text
    pinned = job.json()["spec"]
    assert pinned["model"].startswith(f"{spec['model']}#sha256=")
    assert pinned["dataset"].startswith(f"{spec['dataset']}#sha256=")
    [model] = api.get("/v1/models").json()["data"]
    assert (model["source"], model["name"]) == (pinned["model"], f"{root.name}/bert")
    assert {file["path"] for file in model["files"]} == set(bert_files()), "what is no part of a model stays behind"
    [dataset] = api.get("/v1/datasets").json()["data"]
    assert [(split["name"], split["rows"]) for split in dataset["splits"]] == [("train", 400), ("validation", 40)]

    assert api.submit(spec).status_code == 202
    assert len(api.get("/v1/models").json()["data"]) == 1, "the same content is taken in once"
    (root / "bert" / "vocab.txt").write_bytes((root / "bert" / "vocab.txt").read_bytes() + b"\nactor")
    never_taken = {**without_results(pinned), "model": f"{spec['model']}#sha256={'0' * 64}"}
    assert "it has changed" in detail(api.submit(never_taken), "/model")
    assert api.submit(without_results(pinned)).status_code == 202, "a resolved spec can be submitted again"
    (root / "bert").rename(root / "moved")
    assert api.submit(without_results(pinned)).json()["spec"]["model"] == pinned["model"]
    assert api.as_other_team().submit(without_results(pinned)).status_code == 422, "which has its own store"


def without_results(spec: dict[str, object]) -> dict[str, object]:
    """A resolved spec without what is not the client's to say."""
    return {name: value for name, value in spec.items() if name not in {"labels", "holdout", "total_steps"}}


def test_changed_files_are_another_model(api: Api, spec: dict[str, object], root: Path) -> None:
    first = api.submit(spec).json()["spec"]["model"]
    write(root / "bert", {"generation_config.json": b"{}"})
    second = api.submit(spec).json()["spec"]["model"]
    assert first != second
    assert {model["source"] for model in api.get("/v1/models").json()["data"]} == {first, second}


def test_a_dataset_may_be_one_file_and_a_teacher_a_folder(api: Api, spec: dict[str, object], root: Path) -> None:
    write(root / "teacher", with_head())
    whole = {
        **spec,
        "dataset": f"file://{root.name}/reviews/train.csv",
        "distillation": {"teacher": f"file://{root.name}/teacher"},
    }
    job = api.submit(whole)
    assert job.status_code == 202, job.text
    assert job.json()["spec"]["splits"] == {"train": "train", "eval": None}
    [teacher] = [each for each in api.get("/v1/models").json()["data"] if "/teacher#" in each["source"]]
    assert job.json()["spec"]["distillation"]["teacher"] == teacher["uri"]
    assert api.call("DELETE", teacher["url"]).status_code == 409


def test_shards_of_a_split_are_one_table(api: Api, spec: dict[str, object], root: Path) -> None:
    shards = {f"train-0000{number}-of-00002.csv": sentences(200) for number in (0, 1)}
    write(root / "sharded", shards)
    job = api.submit({**spec, "dataset": f"file://{root.name}/sharded"})
    assert job.status_code == 202, job.text
    [dataset] = api.get("/v1/datasets").json()["data"]
    assert [(split["name"], split["rows"]) for split in dataset["splits"]] == [("train", 400)]
    write(root / "sharded", {"train-00001-of-00002.csv": b"text,stars\na,1\n"})
    other = api.submit({**spec, "dataset": f"file://{root.name}/sharded"})
    assert "other columns than the split's files before it" in detail(other, "/dataset")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("../{root}/bert", "without .. in it"),
        ("{root}/%2e%2e/bert", "without .. in it"),
        ("/etc", "relative to one of the service's roots"),
        ("{root}//bert", "relative to one of the service's roots"),
        ("{root}/bert%00", "relative to one of the service's roots"),
        ("{root}/nothing", "there is nothing called"),
        ("{root}/out", "there is nothing called"),
        ("{root}/bert/config.json", "it is a file"),
        ("{root}/pickles", "It has: pytorch_model.bin. Convert"),
        ("{root}/leaking", "there is nothing called 'model.safetensors'"),
        ("{root}/piped", "no *.safetensors"),
        ("{root}/bert#sha256=0", "64 hexadecimal digits"),
        ("{root}/huge", "SECATEUR_MAX_MODEL_BYTES"),
    ],
)
def test_what_is_not_a_model_below_a_root_is_refused(
    api: Api, spec: dict[str, object], root: Path, tmp_path: Path, *, path: str, remedy: str
) -> None:
    outside = tmp_path / "outside"
    write(outside, bert_files())
    (root / "out").symlink_to(outside)
    write(root / "pickles", {"pytorch_model.bin": b"pickle", os.fsdecode(b"\xff.bin"): b"", "a\nb.bin": b""})
    write(root / "leaking", {"config.json": b"{}"})
    (root / "leaking" / "model.safetensors").symlink_to(outside / "model.safetensors")
    write(root / "piped", bert_files())
    (root / "piped" / "model.safetensors").unlink()
    os.mkfifo(root / "piped" / "pipe")
    (root / "piped" / "model.safetensors").symlink_to("pipe")
    write(root / "huge", {**bert_files(), "model.safetensors": bytes(2_000_001)})
    refused = api.submit({**spec, "model": f"file://{path.replace('{root}', root.name)}"})
    assert refused.status_code == 422
    assert remedy in detail(refused, "/model")
    assert api.get("/v1/models").json()["data"] == []


def test_a_pipe_is_not_waited_for(api: Api, spec: dict[str, object], root: Path) -> None:
    os.mkfifo(root / "train.csv")
    refused = api.submit({**spec, "dataset": f"file://{root.name}/train.csv"})
    assert "'train.csv' is not a plain file" in detail(refused, "/dataset")


def test_links_that_stay_below_the_root_are_followed(api: Api, spec: dict[str, object], root: Path) -> None:
    (root / "linked").mkdir()
    for name in bert_files():
        (root / "linked" / name).symlink_to(root / "bert" / name)
    (root / "alias").symlink_to("linked")
    assert api.submit({**spec, "model": f"file://{root.name}/alias"}).status_code == 202


def test_a_folder_that_is_swapped_for_a_link_is_never_followed(tmp_path: Path) -> None:
    """The check and the opening are two: whoever swaps in between must not win."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder, content in ((root / "real", b"ours"), (outside, b"secret")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_bytes(content)
    (root / "link").symlink_to(outside)
    (root / "here").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for name in ("real", "link"):
                (root / "here").rename(root / "away")
                (root / name).rename(root / "here")
                (root / "here").rename(root / name)
                (root / "away").rename(root / "here")

    (root / "here" / "config.json").write_bytes(b"ours")
    swapping = threading.Thread(target=swap)
    swapping.start()
    read = set()
    try:
        for _ in range(3000):
            try:
                read.add(b"".join(Below([root.resolve()], "here").read("config.json")))
            except SourceRefused:
                continue
    finally:
        over.set()
        swapping.join()
    assert read == {b"ours"}


def test_nothing_is_read_without_roots() -> None:
    with pytest.raises(SourceRefused, match="SECATEUR_FILE_ROOTS"):
        roots_of(Settings())


def test_a_key_that_may_only_read_takes_nothing_in(api: Api, spec: dict[str, object]) -> None:
    refused = api.with_scopes("read").call("POST", "/v1/jobs:validate", json=spec)
    assert (refused.status_code, api.get("/v1/models").json()["data"]) == (403, [])
    assert "scope 'submit'" in refused.json()["detail"]
    validated = api.call("POST", "/v1/jobs:validate", json=spec)
    assert validated.json()["spec"]["model"].startswith(f"{spec['model']}#sha256=")


def test_a_sweep_takes_in_what_its_jobs_name(api: Api, spec: dict[str, object], root: Path) -> None:
    write(root / "other", bert_files(layers=1, num_hidden_layers=1))
    base = {"dataset": spec["dataset"], "method": "movement", "target_sparsity": 0.9}
    grid = {"model": [spec["model"], f"file://{root.name}/other"], "training.seed": [1, 2]}
    sweep = api.call("POST", "/v1/sweeps", json={"base": base, "grid": grid})
    assert sweep.status_code == 202, sweep.text
    jobs = [api.get(run["url"]).json()["spec"]["model"] for run in sweep.json()["runs"]]
    assert set(jobs) == {model["source"] for model in api.get("/v1/models").json()["data"]}
    assert len(set(jobs)) == 2


def test_a_spec_that_is_wrong_anyway_brings_nothing_in(api: Api, spec: dict[str, object]) -> None:
    refused = api.submit({**spec, "target_sparsity": 2})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/target_sparsity"]
    assert api.get("/v1/models").json()["data"] == []


def test_a_repeated_submit_is_answered_though_its_source_is_gone(api: Api, spec: dict[str, object], root: Path) -> None:
    first = api.submit(spec, **{"Idempotency-Key": "once"}).json()["id"]
    (root / "bert" / "config.json").unlink()
    assert api.submit(spec, **{"Idempotency-Key": "once"}).json()["id"] == first
    assert api.submit(spec).status_code == 422
