"""Ends jobs as a worker would."""

import io
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from store import (
    Database,
    DatabaseBlobStore,
    JsonObject,
    NewArtifact,
    NewLayer,
    claim_next,
    finish_succeeded,
    record_progress,
)


def masks_file(masks: Mapping[str, NDArray[np.bool_]]) -> bytes:
    """masks.safetensors as the worker writes it."""
    packed = {name: np.packbits(mask.ravel(), bitorder="little") for name, mask in masks.items()}
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    return save(packed, {"shapes": json.dumps(shapes)})


def succeed(database: Database, result: JsonObject) -> str:
    """End the next job with a result, and no files; return its id."""
    with database.write() as session:
        claim = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claim is not None
    with database.write() as session:
        finish_succeeded(session, claim.fence, result, [], [])
    return claim.fence.job_id


def finish(database: Database, files: Mapping[str, bytes], masks: Mapping[str, NDArray[np.bool_]]) -> str:
    """Run the next job to its end; return its path."""
    with database.write() as session:
        claim = claim_next(session, "default", "worker-1", lease_s=60.0)
    assert claim is not None
    with database.write() as session:
        record_progress(
            session,
            claim.fence,
            step=10,
            density=0.5,
            phase="pruning",
            metrics=[("train/loss", step, 1 / (1 + step)) for step in range(10)] + [("eval/accuracy", 9, 0.75)],
        )
    blobs = DatabaseBlobStore(database)
    written = {**files, "masks.safetensors": masks_file(masks)}
    artifacts = [
        NewArtifact(name, name.split(".")[0].split("/")[0], _media_type(name), blobs.write(io.BytesIO(raw)))
        for name, raw in written.items()
    ]
    layers = [NewLayer(name, mask.shape, int(mask.sum()), mask.size) for name, mask in masks.items()]
    with database.write() as session:
        finish_succeeded(session, claim.fence, {"eval": {"accuracy": 0.75}}, artifacts, layers)
    return f"/v1/jobs/{claim.fence.job_id}"


def _media_type(name: str) -> str:
    return "text/html" if name.endswith(".html") else "application/octet-stream"
