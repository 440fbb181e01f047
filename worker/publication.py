"""Publishing a finished run: files to the blob store, then result, artifacts and the job's end in one transaction."""

from dataclasses import asdict
from pathlib import Path
from typing import cast

from pruning_core import PruningResult
from store import (
    BlobRef,
    Database,
    DatabaseBlobStore,
    Fence,
    JobStatus,
    JsonValue,
    NewArtifact,
    NewLayer,
    finish_succeeded,
)
from worker.files import pieces_of

_MEDIA_TYPES = {".json": "application/json", ".txt": "text/plain", ".html": "text/html"}
_BINARY = "application/octet-stream"


def publish(database: Database, fence: Fence, result: PruningResult, output: Path) -> JobStatus:
    """Upload every file of `output` and end the job.

    Until the last transaction the files are unreferenced blobs: nobody sees half a result, and a zombie's upload
    changes nothing.

    Returns:
        `succeeded`, or `cancelled` if a cancel was requested first.

    Raises:
        FenceLost: the attempt no longer owns the job.
    """
    blobs = DatabaseBlobStore(database)
    artifacts = []
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        name = path.relative_to(output).as_posix()
        reference: BlobRef = blobs.write(pieces_of(path))
        artifacts.append(NewArtifact(name, _kind(name), _MEDIA_TYPES.get(path.suffix, _BINARY), reference))
    layers = [NewLayer(layer.name, layer.shape, layer.kept, layer.total) for layer in result.layers]
    sizes = result.report["bytes"]
    assert isinstance(sizes, dict)
    with database.write() as session:
        return finish_succeeded(
            session,
            fence,
            result={
                "primary_metric": str(result.report["primary_metric"]),
                "eval": dict(result.evaluation),
                "dense_eval": None if result.dense_evaluation is None else dict(result.dense_evaluation),
                "packed_eval": dict(result.packed_evaluation),
                "density": asdict(result.density),
                "notes": cast(JsonValue, result.report["notes"]),
                "bytes": {kind: sizes[kind] for kind in ("dense", "masks", "packed")},
            },
            artifacts=artifacts,
            layers=layers,
        )


def _kind(name: str) -> str:
    """What an artifact is: `model`, `packed`, `masks` or `report`."""
    return "packed" if name == "model.packed" else Path(name).parts[0].split(".")[0]
