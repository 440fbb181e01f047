"""A job's inputs, copied from the store into the attempt's scratch folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from store import Claim, Database, DatabaseBlobStore, get_dataset, get_model


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        model_dir: a Hugging Face model directory.
        train: rows to learn from.
        evaluation: rows to judge on; None where the run holds some out itself.
        labels: class labels in the order of their ids.
        lineage: where the inputs come from, with checksums, for the report.
    """

    model_dir: Path
    train: pa.Table
    evaluation: pa.Table | None
    labels: list[str | int | bool]
    lineage: dict[str, object]


def fetch_inputs(database: Database, claim: Claim, scratch: Path) -> Inputs:
    """Copy the claimed job's model and the splits it uses; every blob's sha256 is verified on the way."""
    assert claim.model_id is not None
    assert claim.dataset_id is not None
    blobs = DatabaseBlobStore(database)
    with database.read() as session:
        model = get_model(session, claim.team_id, claim.model_id)
        dataset = get_dataset(session, claim.team_id, claim.dataset_id)
    model_dir = scratch / "model"
    model_dir.mkdir()
    for file in model.files:
        _write(model_dir / file.path, blobs, file.blob_id)
    chosen = cast(dict[str, str | None], claim.spec["splits"])
    tables: dict[str, pa.Table] = {}
    checksums = {}
    for split in dataset.splits:
        if split.split not in chosen.values():
            continue
        path = scratch / f"{split.position}.parquet"
        _write(path, blobs, split.blob_id)
        tables[split.split] = pq.read_table(path)
        checksums[split.split] = split.sha256
    evaluation = chosen["eval"]
    return Inputs(
        model_dir=model_dir,
        train=tables[cast(str, chosen["train"])],
        evaluation=None if evaluation is None else tables[evaluation],
        labels=cast(list[str | int | bool], claim.spec["labels"]),
        lineage={
            "job": claim.fence.job_id,
            "attempt": claim.fence.attempt,
            "model": claim.spec["model"],
            "dataset": claim.spec["dataset"],
            "dataset_sha256": checksums,
        },
    )


def _write(path: Path, blobs: DatabaseBlobStore, blob_id: str) -> None:
    with path.open("wb") as file:
        for piece in blobs.read(blob_id):
            file.write(piece)
