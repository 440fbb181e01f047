"""What a run reads is copied from the store: model, splits, and a teacher where another model is named."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import (
    Claim,
    DatabaseBlobStore,
    Fence,
    NewFile,
    NewSplit,
    ensure_team,
    insert_dataset,
    insert_model,
    open_database,
)
from store.documents import JsonValue
from store.migrate import upgrade
from worker.inputs import Inputs, fetch_inputs


def fetched(folder: Path, distillation: JsonValue) -> Inputs:
    """The inputs of a job whose store holds the model `student` and the model `teacher`."""
    url = f"sqlite:///{folder / 'secateur.db'}"
    upgrade(url)
    database = open_database(url)
    blobs = DatabaseBlobStore(database)
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "label": [0.5]}), table)
    with database.write() as session:
        team = ensure_team(session, "us").id
    ids = {}
    for name in ("student", "teacher"):
        files = [NewFile("config.json", blobs.write([name.encode()]))]
        with database.write() as session:
            ids[name] = insert_model(
                session, team, name=name, model_type="bert", config={}, tensors={}, parameters=0, files=files
            ).id
    split = NewSplit("train", 1, blobs.write([table.getvalue()]))
    with database.write() as session:
        dataset = insert_dataset(session, team, name="d", format="csv", columns=[], preview=[], splits=[split]).id
    if distillation == "other":
        distillation = {"teacher": f"upload://{ids['teacher']}", "alpha": 0.9}
    spec: dict[str, JsonValue] = {
        "model": f"upload://{ids['student']}",
        "dataset": f"upload://{dataset}",
        "splits": {"train": "train", "eval": None},
        "labels": [],
        "distillation": distillation,
    }
    claim = Claim(Fence("job_1", 1), team, spec, dataset_id=dataset, model_id=ids["student"])
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        return fetch_inputs(database, claim, scratch)
    finally:
        database.close()


@pytest.mark.parametrize("distillation", [None, {"teacher": "self"}])
def test_a_job_that_is_its_own_teacher_needs_no_other_model(tmp_path: Path, distillation: JsonValue) -> None:
    inputs = fetched(tmp_path, distillation)
    assert inputs.teacher is None
    assert (inputs.model_dir / "config.json").read_text(encoding="utf-8") == "student"
    assert inputs.train.to_pylist() == [{"text": "a", "label": 0.5}]
    assert (inputs.lineage["model_name"], inputs.lineage["dataset_name"]) == ("student", "d")


def test_another_teacher_is_fetched_beside_the_model(tmp_path: Path) -> None:
    inputs = fetched(tmp_path, "other")
    assert inputs.teacher is not None
    assert inputs.teacher != inputs.model_dir
    assert (inputs.teacher / "config.json").read_text(encoding="utf-8") == "teacher"
