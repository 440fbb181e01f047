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
#: What files are that are called after the model; all others are what they are called.
_KINDS = {"model.packed": "packed", "model.onnx": "onnx", "model.int8.onnx": "int8"}
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
        artifacts.append(NewArtifact(name, kind_of(name), _MEDIA_TYPES.get(path.suffix, _BINARY), reference))
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
                "exports": cast(JsonValue, result.exports.made),
                "export_latency": cast(JsonValue, result.exports.latency),
                "bytes": dict(sizes),
            },
            artifacts=artifacts,
            layers=layers,
        )


def kind_of(name: str) -> str:
    """What an artifact is: `model`, `packed`, `structured`, `onnx`, `int8`, `masks` or `report`."""
    first = Path(name).parts[0].removesuffix(".data")  # weights that lie beside a graph
    return _KINDS.get(first, first.split(".")[0])
