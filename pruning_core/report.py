"""`report.json`: what was done, what came out, and all that is needed to do it again."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import PreTrainedModel

from pruning_core.exports import Exports
from pruning_core.masking import MaskedWeights
from pruning_core.prunable import encoder_of
from pruning_core.ranks import OneRank
from pruning_core.report_schema import REPORT_VERSION, Confusion, Example, Report
from pruning_core.schedule import Schedule
from pruning_core.spec import PruningSpec
from pruning_core.standing import Standing

#: The schedule is told at so many steps, evenly spaced.
_SCHEDULE_POINTS = 100
_PACKAGES = (
    "secateur",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pyarrow",
    "scipy",
    "constriction",
    "zstandard",
)
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


@cache
def _version(name: str) -> str:
    """Of an installed package; looked up in its files, which takes a hundredth of a second for each."""
    return version(name)


def lineage(
    model_dir: Path, teacher_dir: Path | None, spec: PruningSpec, ranks: OneRank, bf16: bool
) -> dict[str, object]:
    """Model, teacher, packages, seed and hardware."""
    device = ranks.device
    return {
        "model_sha256": _weights_sha256(model_dir),
        **({} if teacher_dir is None else {"teacher_sha256": _weights_sha256(teacher_dir)}),
        "seed": spec.training.seed,
        "packages": {name: _version(name) for name in (*_PACKAGES, *(extra for extra in _EXTRAS if find_spec(extra)))},
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
    standing: Standing,
    density: Densities,
    table: list[Layer],
    evaluation: dict[str, float],
    dense_evaluation: dict[str, float] | None,
    packed_evaluation: dict[str, float],
    data: dict[str, object],
    exports: Exports,
    sizes: dict[str, int],
    latency: dict[str, object] | None,
    seconds: dict[str, float],
    curves: dict[str, list[tuple[int, float]]],
    schedule: Schedule,
    histogram: dict[str, object] | None,
    confusion: Confusion | None,
    errors: list[Example],
    notes: list[str],
    job: Mapping[str, object] | None,
    provenance: dict[str, object],
) -> dict[str, object]:
    """The report as JSON-ready data, as `report_schema.Report` describes it.

    Args:
        spec: resolved.
        standing: comparison and verdict.
        density: the three densities.
        table: the per-layer table.
        evaluation: figures of the pruned model.
        dense_evaluation: figures of the dense one.
        packed_evaluation: figures of what `model.packed` unpacks to.
        data: rows, labels, steps.
        exports: what was made besides.
        sizes: bytes of the deliverables.
        latency: of a forward pass.
        seconds: by phase.
        curves: of the training.
        schedule: what the densities were to be.
        histogram: weights by value and rank.
        confusion: rows by class and answer.
        errors: rows that are wrong.
        notes: as `notes_on` gives them.
        job: the service's spec.
        provenance: as `lineage` gives it.
    """
    report = Report.model_validate(
        {
            "version": REPORT_VERSION,
            "verdict": standing.verdict,
            "method": spec.method,
            "target_sparsity": spec.target_sparsity,
            "primary_metric": standing.comparison.metric,
            "comparison": standing.comparison,
            "density": asdict(density),
            "eval": evaluation,
            "dense_eval": dense_evaluation,
            "packed_eval": packed_evaluation,
            "exports": exports.made,
            "export_latency": exports.latency,
            "data": data,
            "layers": [asdict(row) for row in table],
            "bytes": sizes,
            "latency": latency,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "curves": curves,
            "schedule": _points_of(schedule),
            "histogram": histogram,
            "confusion": confusion,
            "errors": errors,
            "notes": notes,
            "spec": spec,
            "job": None if job is None else dict(job),
            "lineage": provenance,
        }
    )
    found: dict[str, object] = json.loads(report.model_dump_json())
    return found


def _points_of(schedule: Schedule) -> list[tuple[int, float]]:
    steps = sorted({round(place * schedule.total_steps / _SCHEDULE_POINTS) for place in range(_SCHEDULE_POINTS + 1)})
    return [(step, schedule.density(step)) for step in steps]


def notes_on(
    spec: PruningSpec,
    metric: str,
    exact: dict[str, float],
    packed: dict[str, float],
    *,
    exports: Exports,
    useless: str | None,
) -> list[str]:
    """What a reader of the figures should know.

    Args:
        spec: resolved.
        metric: what the run is judged by.
        exact: figures of the pruned model.
        packed: figures of what `model.packed` unpacks to.
        exports: what was made besides.
        useless: what to tell of a pruned model that is no better than guessing.
    """
    notes = [
        "The model directory stores its zeros: it is as large as the dense one. model.packed does not.",
        "Zeros do not run faster: PyTorch's dense kernels multiply zeros like any other number."
        + (" structured/ has no dead heads and neurons." if "structured" in exports.made else ""),
    ]
    if useless is not None:
        notes.insert(0, f"{useless} Train longer, or lower the target sparsity.")
    return notes + _rounding(spec, metric, exact, packed)


def notes_on_the_comparison(
    spec: PruningSpec, standing: Standing, *, steps: int, start_density: float, majority_share: float | None
) -> list[str]:
    """What a reader of the verdict should know, before all else.

    Args:
        spec: resolved.
        standing: with the verdict.
        steps: of one phase.
        start_density: kept share before the first weight went.
        majority_share: accuracy of always guessing the most frequent class, where there are classes.
    """
    notes = []
    if spec.training.start_from == "dense":
        notes.append(
            f"Pruned was the dense model, after its {steps:,} steps (training.start_from): the pruned model has had "
            f"{steps:,} steps more than the dense one that it is compared with."
        )
    if spec.pruning.reconstruct:
        notes.append(
            "When the final density was reached, what was left of each matrix was fitted to what the dense model said "
            "in its place (pruning.reconstruct); the masks stayed from then on."
        )
    if spec.pruning.start_from_mask:
        notes.append(
            f"Of the prunable weights {1 - start_density:.1%} were zero in the given model already, and stayed so "
            "(pruning.start_from_mask)."
            + (" The dense model is the given one, fine-tuned without a mask." if standing.comparison.dense else "")
        )
    low, kind = standing.comparison.pruned.low, standing.verdict.kind
    if majority_share is not None and low is not None and low <= majority_share < 1 and kind != "useless":
        notes.append(
            "It is not sure that the pruned model is better than always guessing the most frequent class, right in "
            f"{majority_share:.1%} of rows: train longer, or lower the target sparsity."
        )
    dense = standing.comparison.dense
    if majority_share is not None and dense and dense.low is not None and dense.low <= majority_share < 1:
        notes.append(
            f"The dense model is no measure: after its {steps:,} steps it is not sure that it is better than always "
            f"guessing the most frequent class, right in {majority_share:.1%} of rows. Train longer."
        )
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


def _weights_sha256(directory: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(directory.glob("*.safetensors"))}


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
