"""One pruning run from start to end: encode, fine-tune dense, fine-prune, export, verify, report."""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    set_seed,
)

from pruning_core.evaluation import evaluate
from pruning_core.export import export_masks, export_model
from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS
from pruning_core.precision import best_device, uses_bf16
from pruning_core.prunable import prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.report import Densities, Layer, build_report, densities, layers, lineage
from pruning_core.spec import PruningSpec, TextClassification
from pruning_core.tasks.text_classification import (
    DataError,
    EncodedSplit,
    Label,
    class_ids,
    labels_of,
    stratified_holdout,
)
from pruning_core.training import OnProgress, Progress, fine_tune, freeze_embeddings

__all__ = ["ModelError", "Progress", "PruningResult", "prune"]

#: Share of the training rows held out where no evaluation split is given.
HOLDOUT = 0.1


class ModelError(ValueError):
    """The model directory cannot be used: its weights do not belong to its config."""


@dataclass(frozen=True)
class PruningResult:
    """What a run achieved; the files lie in the output directory.

    Attributes:
        evaluation: quality of the exported model on the evaluation rows, fp32.
        dense_evaluation: quality of the dense model of the same spec, or None without a baseline.
        density: the three densities.
        layers: the per-layer table.
        report: the content of `report.json`.
    """

    evaluation: dict[str, float]
    dense_evaluation: dict[str, float] | None
    density: Densities
    layers: list[Layer]
    report: dict[str, object]


def prune(
    model: str | Path,
    train: pa.Table,
    spec: PruningSpec,
    output: str | Path,
    *,
    evaluation: pa.Table | None = None,
    labels: Sequence[Label] | None = None,
    on_progress: OnProgress | None = None,
    lineage_extra: dict[str, object] | None = None,
) -> PruningResult:
    """Fine-prune a pretrained model on a dataset.

    Args:
        model: a local Hugging Face model directory with config, tokenizer and safetensors.
        train: rows to learn from; `spec.task` names the columns.
        spec: method, target and training.
        output: directory, created; receives `model/`, `masks.safetensors` and `report.json`.
        evaluation: rows to judge on; without them a seeded, stratified 10 % of `train` is held out.
        labels: class labels in the order of their ids; default: the distinct labels of both tables, sorted.
        on_progress: called after every optimizer step; an exception it raises ends the run.
        lineage_extra: more lines for the report's lineage, such as a dataset's checksum.

    Raises:
        ScheduleError: the run is too short for the schedule.
        DataError: rows do not fit the task.
        ModelError: the model's weights do not fit its config.
        NothingToPrune: no matrix matches `pruning.modules`.
        Diverged: the loss is no longer finite.
        ExportMismatch: the exported model is not the trained one.
    """
    model_dir, output_dir = Path(model), Path(output)
    output_dir.mkdir(parents=True, exist_ok=True)
    spec = spec.resolved()
    task = _task_of(spec)
    for table in (train, evaluation):
        _require_columns(table, task)
    class_labels = (
        list(labels) if labels is not None else labels_of([t for t in (train, evaluation) if t is not None], task.label)
    )
    tokenizer = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False, local_files_only=True)
    if evaluation is None:
        kept, held = stratified_holdout(class_ids(train, task.label, class_labels), HOLDOUT, spec.training.seed)
        rows, evaluation_rows = train.take(kept), train.take(held)
    else:
        rows, evaluation_rows = train, evaluation
    train_split = EncodedSplit(rows, task, class_labels, tokenizer, spec.training.max_length)
    evaluation_split = EncodedSplit(evaluation_rows, task, class_labels, tokenizer, spec.training.max_length)

    device = best_device()
    bf16 = uses_bf16(spec.training.precision, device)
    steps = spec.total_steps(len(train_split))
    schedule = spec.schedule(len(train_split))
    phases = 2 if spec.training.dense_baseline else 1
    seconds: dict[str, float] = {}
    dense_evaluation = None

    def train_once(network: PreTrainedModel, pruner: Pruner | None, finished_steps: int) -> float:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="secateur-trainer-") as scratch:
            fine_tune(
                network,
                tokenizer,
                train_split,
                evaluation_split,
                spec,
                pruner=pruner,
                bf16=bf16,
                scratch=Path(scratch),
                on_progress=on_progress or (lambda progress: None),
                finished_steps=finished_steps,
                total_steps=phases * steps,
            )
        return time.monotonic() - started

    if spec.training.dense_baseline:
        dense = _load(model_dir, class_labels, spec, device)
        seconds["dense"] = train_once(dense, None, 0)
        dense_evaluation = evaluate(dense, tokenizer, evaluation_split)
        del dense

    network = _load(model_dir, class_labels, spec, device)
    method = METHODS[spec.method](spec.method_parameters())
    masked = MaskedWeights(prunable_matrices(network, spec.pruning.modules), method)
    seconds["pruning"] = train_once(network, Pruner(masked, schedule, spec.pruning.scope), (phases - 1) * steps)

    reloaded = export_model(network, tokenizer, masked, output_dir / "model")
    export_masks(masked, output_dir / "masks.safetensors")
    result_evaluation = evaluate(reloaded, tokenizer, evaluation_split)
    density, table = densities(network, masked), layers(masked)
    report = build_report(
        spec=spec,
        density=density,
        table=table,
        evaluation=result_evaluation,
        dense_evaluation=dense_evaluation,
        data={
            "train_rows": len(train_split),
            "eval_rows": len(evaluation_split),
            "held_out": evaluation is None,
            "labels": class_labels,
            "majority_share": evaluation_split.majority_share(),
            "steps": steps,
        },
        sizes=_sizes(output_dir),
        seconds=seconds,
        provenance=lineage(model_dir, spec, device, bf16) | (lineage_extra or {}),
    )
    (output_dir / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return PruningResult(result_evaluation, dense_evaluation, density, table, report)


def _task_of(spec: PruningSpec) -> TextClassification:
    if spec.task is None:
        raise DataError("The spec names no task. Say which columns hold text and label: task={'text': …, 'label': …}.")
    return spec.task


def _require_columns(table: pa.Table | None, task: TextClassification) -> None:
    for column in (task.text, task.text_pair, task.label):
        if table is not None and column is not None and column not in table.column_names:
            raise DataError(f"There is no column {column!r}. The columns are: {', '.join(table.column_names)}.")


def _load(directory: Path, labels: Sequence[Label], spec: PruningSpec, device: torch.device) -> PreTrainedModel:
    """The pretrained model with a fresh head for `labels`; dense and pruned runs start from the same numbers."""
    set_seed(spec.training.seed)
    names = [str(label) for label in labels]
    loaded, info = AutoModelForSequenceClassification.from_pretrained(
        directory,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        problem_type="single_label_classification",
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # a head for another number of classes is replaced
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    model: PreTrainedModel = loaded.to(device)
    inside = model.base_model_prefix + "."
    lost = sorted(
        name
        for name in {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
        if name.startswith(inside) and "pooler" not in name
    )
    if lost:  # transformers fills them with random numbers and goes on
        raise ModelError(f"{len(lost)} tensors of the encoder are missing or of another shape: {', '.join(lost[:3])} …")
    if spec.training.freeze_embeddings:
        freeze_embeddings(model)
    return model


def _sizes(output_dir: Path) -> dict[str, int]:
    """Bytes of the deliverables."""
    dense = sum(path.stat().st_size for path in (output_dir / "model").iterdir())
    return {"dense": dense, "masks": (output_dir / "masks.safetensors").stat().st_size}
