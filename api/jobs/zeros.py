"""Whether a model that keeps its zeros has more of them already than a job is to make."""

import io
from functools import lru_cache

import numpy as np

from api.jobs.findings import Findings
from api.jobs.spec import JobSpec
from api.models.safetensors import read_header
from pruning_core.architectures import prunable_matrices
from pruning_core.granularity import kind_of
from store import BlobStore, Model

#: By dtype: how a number is stored, and all its bits but the sign's.
_BITS = {"F32": ("<u4", 0x7FFF_FFFF), "F16": ("<u2", 0x7FFF), "BF16": ("<u2", 0x7FFF)}

#: Blob and size of each of a model's weight files.
_Files = tuple[tuple[str, int], ...]


def check_zeros(spec: JobSpec, model: Model, findings: Findings, *, blobs: BlobStore) -> float:
    """Note a target below what `pruning.start_from_mask` leaves zero; reads the prunable weights, once for each model.

    Whole units meet a target to within half of one, and are left to the worker, who knows them.

    Returns:
        The kept share that the schedule begins with; 1 of heads, whose matrices are others.

    Raises:
        BlobCorrupt: A file is damaged.
    """
    kind = kind_of(spec.granularity)
    if kind == "head" or not (findings.sound("pruning") and findings.sound("target_sparsity")):
        return 1.0
    files = tuple((file.blob_id, file.size) for file in model.files if file.path.endswith(".safetensors"))
    zeros, weights = _zeros(blobs, files, model.model_type, spec.pruning.modules)  # type: ignore[arg-type]  # every object is hashable, a protocol's too
    left = 1.0 - zeros / max(1, weights)
    if kind != "element":
        return left
    if not zeros:
        findings.advise(
            "The model has no zeros in its prunable matrices, so that pruning.start_from_mask keeps none: leave it "
            "out, or name the pruned model."
        )
    if weights - zeros < max(1, round(spec.final_density * weights)):
        findings.wrong(("target_sparsity",), spec.more_is_gone(zeros / weights))
    return left


@lru_cache(maxsize=256)
def _zeros(blobs: BlobStore, files: _Files, model_type: str, pattern: str | None) -> tuple[int, int]:
    """How many prunable weights are zero, and how many there are."""
    zeros = weights = 0
    for blob_id, size in files:
        prefix = int.from_bytes(b"".join(blobs.read(blob_id, 0, 8)), "little")
        header = read_header(io.BytesIO(b"".join(blobs.read(blob_id, 0, 8 + prefix))), size)
        for name, tensor in header.tensors.items():
            if tensor.dtype in _BITS and prunable_matrices(model_type, {name: tensor.shape}, pattern):
                stored_as, magnitude = _BITS[tensor.dtype]
                bits = np.frombuffer(b"".join(blobs.read(blob_id, tensor.start, tensor.end)), dtype=stored_as)
                zeros += len(bits) - int(np.count_nonzero(bits & magnitude))
                weights += len(bits)
    return zeros, weights
