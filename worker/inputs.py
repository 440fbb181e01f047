"""A job's inputs, copied from the store into the attempt's scratch folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from store import Claim, Database, DatabaseBlobStore, Model, get_dataset, get_model
from worker.files import write_file


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        model_dir: a Hugging Face model directory.
        train: rows to learn from.
        evaluation: rows to judge on; None where the run holds some out itself.
        labels: class labels or tags in the order of their ids; empty for tasks without.
        teacher: the Hugging Face model directory of a teacher; None where the job names none but itself.
        lineage: where the inputs come from, with checksums, for the report.
    """

    model_dir: Path
    train: pa.Table
    evaluation: pa.Table | None
    labels: list[str | int | bool]
    teacher: Path | None
    lineage: dict[str, object]


def fetch_inputs(database: Database, claim: Claim, scratch: Path) -> Inputs:
    """Copy the claimed job's model and the splits it uses; every blob's sha256 is verified on the way."""
    assert claim.model_id is not None
    assert claim.dataset_id is not None
    blobs = DatabaseBlobStore(database)
    teacher_id = _teacher_of(claim)
    with database.read() as session:
        model = get_model(session, claim.team_id, claim.model_id)
        teacher = None if teacher_id is None else get_model(session, claim.team_id, teacher_id)
        dataset = get_dataset(session, claim.team_id, claim.dataset_id)
    model_dir = _directory(scratch / "model", blobs, model)
    teacher_dir = None if teacher is None else _directory(scratch / "teacher", blobs, teacher)
    chosen = cast(dict[str, str | None], claim.spec["splits"])
    tables: dict[str, pa.Table] = {}
    checksums = {}
    for split in dataset.splits:
        if split.split not in chosen.values():
            continue
        path = scratch / f"{split.position}.parquet"
        write_file(path, blobs.read(split.blob_id))
        tables[split.split] = pq.read_table(path)
        checksums[split.split] = split.sha256
    evaluation = chosen["eval"]
    return Inputs(
        model_dir=model_dir,
        train=tables[cast(str, chosen["train"])],
        evaluation=None if evaluation is None else tables[evaluation],
        labels=cast(list[str | int | bool], claim.spec["labels"]),
        teacher=teacher_dir,
        lineage={
            "job": claim.fence.job_id,
            "attempt": claim.fence.attempt,
            "model": claim.spec["model"],
            "model_name": model.name,
            "dataset": claim.spec["dataset"],
            "dataset_name": dataset.name,
            "dataset_sha256": checksums,
        },
    )


def _teacher_of(claim: Claim) -> str | None:
    """The id of the uploaded model that the job distils from; None where there is none, or it is the job's own."""
    distillation = cast(dict[str, object] | None, claim.spec.get("distillation"))
    teacher = "self" if distillation is None else str(distillation["teacher"])
    return None if teacher == "self" else teacher.removeprefix("upload://")


def _directory(path: Path, blobs: DatabaseBlobStore, model: Model) -> Path:
    path.mkdir()
    for file in model.files:
        write_file(path / file.path, blobs.read(file.blob_id))
    return path
