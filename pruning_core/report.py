"""`report.json`: what was done, what came out, and all that is needed to do it again."""

import hashlib
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import PreTrainedModel

from pruning_core.exports import Exports
from pruning_core.masking import MaskedWeights
from pruning_core.prunable import encoder_of
from pruning_core.ranks import OneRank
from pruning_core.spec import PruningSpec

REPORT_VERSION = 1
_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow", "constriction", "zstandard")
#: Of an extra: named where they are installed.
_EXTRAS = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Densities:
    """Kept shares, each of a different whole; quoting one without its name misleads.

    Attributes:
        prunable: of the matrices that pruning may touch: the paper's "remaining weights".
        encoder: of all parameters of the encoder, biases and LayerNorms included.
        model: of all parameters of the model, embeddings and head included.
    """

    prunable: float
    encoder: float
    model: float


@dataclass(frozen=True)
class Layer:
    """One row of the per-layer table: a matrix, its (out, in) shape, and how many of its weights are kept."""

    name: str
    shape: tuple[int, ...]
    kept: int
    total: int
    density: float


def layers(masked: MaskedWeights) -> list[Layer]:
    """The per-layer table, in the model's order."""
    return [
        Layer(m.name, m.shape, kept, m.parameter.numel(), kept / m.parameter.numel())
        for m, _, kept in zip(masked.matrices, masked.slices, masked.kept(), strict=True)
    ]


def densities(model: PreTrainedModel, masked: MaskedWeights) -> Densities:
    """The three densities of a pruned model."""
    removed = len(masked) - sum(masked.kept())
    encoder = sum(p.numel() for p in encoder_of(model, masked.matrices).parameters())
    whole = sum(p.numel() for p in model.parameters())
    return Densities(prunable=1 - removed / len(masked), encoder=1 - removed / encoder, model=1 - removed / whole)


def lineage(model_dir: Path, spec: PruningSpec, ranks: OneRank, bf16: bool) -> dict[str, object]:
    """Model, packages, seed and hardware."""
    device = ranks.device
    return {
        "model_sha256": {path.name: sha256_of(path) for path in sorted(model_dir.glob("*.safetensors"))},
        "seed": spec.training.seed,
        "packages": {name: version(name) for name in (*_PACKAGES, *(extra for extra in _EXTRAS if find_spec(extra)))},
        "python": platform.python_version(),
        "hardware": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
            "devices": ranks.size,
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "precision": "bf16" if bf16 else "fp32",
        },
    }


def build_report(
    *,
    spec: PruningSpec,
    primary_metric: str,
    density: Densities,
    table: list[Layer],
    evaluation: dict[str, float],
    dense_evaluation: dict[str, float] | None,
    packed_evaluation: dict[str, float],
    useless: str | None,
    data: dict[str, object],
    exports: Exports,
    sizes: dict[str, int],
    seconds: dict[str, float],
    provenance: dict[str, object],
) -> dict[str, object]:
    """The report as JSON-ready data.

    Args:
        spec: resolved.
        primary_metric: what the run is judged by.
        density: the three densities.
        table: the per-layer table.
        evaluation: figures of the pruned model.
        dense_evaluation: figures of the dense one.
        packed_evaluation: figures of what `model.packed` unpacks to.
        useless: what to tell of a pruned model that is no better than guessing.
        data: rows, labels, steps.
        exports: what was made besides.
        sizes: bytes of the deliverables.
        seconds: by phase.
        provenance: as `lineage` gives it.
    """
    return {
        "version": REPORT_VERSION,
        "method": spec.method,
        "target_sparsity": spec.target_sparsity,
        "primary_metric": primary_metric,
        "density": asdict(density),
        "eval": evaluation,
        "dense_eval": dense_evaluation,
        "packed_eval": packed_evaluation,
        "exports": exports.made,
        "latency": exports.latency,
        "data": data,
        "layers": [asdict(row) for row in table],
        "bytes": sizes,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "notes": _notes(useless, exports) + _rounding(spec, primary_metric, evaluation, packed_evaluation),
        "spec": spec.model_dump(mode="json"),
        "lineage": provenance,
    }


def _notes(useless: str | None, exports: Exports) -> list[str]:
    """What a reader of the figures should know."""
    notes = [
        "The model directory stores its zeros: it is as large as the dense one. model.packed does not.",
        "Zeros do not run faster: PyTorch's dense kernels multiply zeros like any other number."
        + (" structured/ has no dead heads and neurons." if "structured" in exports.made else ""),
    ]
    if useless is not None:
        notes.insert(0, f"{useless} Train longer, or lower the target sparsity.")
    return notes


def _rounding(spec: PruningSpec, metric: str, exact: dict[str, float], rounded: dict[str, float]) -> list[str]:
    """What the rounding of `model.packed` changes, where it rounds."""
    if spec.export.exact:
        return []
    kept, others = spec.export.packed, spec.export.packed_unpruned or spec.export.packed
    change = rounded[metric] - exact[metric]
    return [
        f"model.packed rounds: what is left of pruned matrices is kept as {kept}, other matrices as {others}. "
        f"Its {metric} is {rounded[metric]:.4g}, {change:+.4f} from the model's in the directory."
    ]


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
