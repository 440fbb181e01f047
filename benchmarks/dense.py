"""Fine-tuning without pruning, as `prune` does for its baseline, with the model kept: a teacher for many runs."""

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pruning_core.evaluation import evaluate
from pruning_core.loading import in_the_models_order, load_model, load_tokenizer, width_of
from pruning_core.precision import best_device, uses_bf16
from pruning_core.ranks import OneRank
from pruning_core.report import lineage
from pruning_core.spec import PruningSpec
from pruning_core.tasks.registry import TASKS, task_of
from pruning_core.training import FineTuning, Material


@dataclass(frozen=True)
class DenseResult:
    """What a dense run achieved.

    Attributes:
        evaluation: metric → value on the evaluation rows, fp32.
        metric: the one that counts.
        train_items: items learnt from.
        spec: with every default written out; only its training settings count.
        lineage: model, versions, hardware.
        seconds: of training and judging.
    """

    evaluation: dict[str, float]
    metric: str
    train_items: int
    spec: PruningSpec
    lineage: dict[str, object]
    seconds: float


def fine_tune_dense(
    model_dir: Path, train: pa.Table, evaluation: pa.Table, spec: PruningSpec, output: Path
) -> DenseResult:
    """Fine-tune a pretrained model and write its directory.

    Args:
        model_dir: a local Hugging Face model directory.
        train: rows to learn from; `spec.task` names the columns.
        evaluation: rows to judge on.
        spec: its task and training, with a dense baseline: that is what is trained.
        output: created; receives model and tokenizer.
    """
    assert spec.training.dense_baseline
    assert spec.task is not None
    labels = in_the_models_order(model_dir, TASKS[type(spec.task)].labels_in([train, evaluation], spec.task))
    task, tokenizer = task_of(spec.task, labels), load_tokenizer(model_dir)
    length = spec.training.max_length
    learnt, judged = task.encode(train, tokenizer, length), task.encode(evaluation, tokenizer, length)
    resolved, device = spec.resolved(len(learnt), width_of(model_dir)), best_device()
    bf16 = uses_bf16(spec.training.precision, device)
    steps = resolved.total_steps(len(learnt))
    ranks = OneRank(device)
    material = Material(task, tokenizer, learnt, judged, resolved, bf16, lambda progress: None, steps, ranks)
    started = time.monotonic()
    model = load_model(model_dir, tokenizer, task, resolved, device)
    FineTuning(model, material).run()
    found = evaluate(model, tokenizer, task, judged)
    seconds = time.monotonic() - started
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    origin = lineage(model_dir, None, spec, ranks, bf16)
    return DenseResult(found, task.primary_metric, len(learnt), resolved, origin, seconds)
