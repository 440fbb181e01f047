"""Jobs without a training step: prune a fine-tuned model as it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from pruning_core import ModelError, PruningResult, prune
from pruning_core.training import Progress
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import PRUNABLE, short_spec


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can tell good from bad, made by a run that hardly prunes."""
    folder = tmp_path_factory.mktemp("fine-tuned")
    training = {"max_steps": 160, "batch_size": 16, "learning_rate": 3e-3}
    spec = short_spec("magnitude", target_sparsity=0.01, training=training)
    result = prune(
        save_tiny_model(folder / "pretrained"),
        reviews(480),
        spec,
        folder,
        evaluation=reviews(100, seed=1),
        illustrated=False,
    )
    assert result.evaluation["accuracy"] >= 0.95
    return folder / "model"


def untrained(
    model: Path, output: Path, method: str, sparsity: float, *, labels: list[str | int | bool] | None = None,
    steps: dict[str, object] | None = None, baseline: bool = True, seen: list[Progress] | None = None,
) -> PruningResult:  # fmt: skip
    training = {"max_steps": None, "epochs": 0, "dense_baseline": baseline} | (steps or {})
    spec = short_spec(method, target_sparsity=sparsity, training=training)
    progress = (lambda point: None) if seen is None else seen.append
    return prune(
        model,
        reviews(200),
        spec,
        output,
        evaluation=reviews(100, seed=1),
        labels=labels,
        on_progress=progress,
        illustrated=False,
    )


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_a_fine_tuned_model_loses_little_at_a_low_sparsity(method: str, fine_tuned: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = untrained(fine_tuned, tmp_path, method, 0.3, seen=seen)
    assert seen == []
    assert result.evaluation["accuracy"] > 0.9
    assert result.dense_evaluation is not None
    assert result.dense_evaluation["accuracy"] >= 0.95
    assert result.report["dense_eval"] == result.dense_evaluation
    assert sum(layer.kept for layer in result.layers) == round(0.7 * PRUNABLE)
    before = load_file(fine_tuned / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    for name, tensor in after.items():
        assert bool(((tensor == before[name]) | (tensor == 0)).all()), f"{name} was trained"


@pytest.mark.parametrize("steps", [{"epochs": 0}, {"epochs": 5, "max_steps": 0}])
def test_no_epochs_and_no_steps_are_the_same(steps: dict[str, object], fine_tuned: Path, tmp_path: Path) -> None:
    result = untrained(fine_tuned, tmp_path, "magnitude", 0.5, baseline=False, steps=steps)
    assert result.dense_evaluation is None
    weights = load_file(fine_tuned / "model.safetensors")
    names = [f"bert.{layer.name}.weight" for layer in result.layers]
    size = torch.cat([weights[name].abs().flatten() for name in names])
    threshold = size.sort().values[len(size) // 2]
    after = load_file(tmp_path / "model" / "model.safetensors")
    wrong = sum(int(((after[name] != 0) != (weights[name].abs() >= threshold)).sum()) for name in names)
    assert wrong <= 2, "the larger half stays, but for a tie"


def test_a_fresh_head_would_guess_and_is_refused(fine_tuned: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    AutoModelForSequenceClassification.from_pretrained(fine_tuned).bert.save_pretrained(base)
    for file in fine_tuned.glob("tokenizer*"):
        shutil.copy(file, base)
    with pytest.raises(ModelError, match="no head for this task"):
        untrained(base, tmp_path / "out", "magnitude", 0.5)


def test_a_head_of_another_size_is_refused(fine_tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no head for this task"):
        untrained(fine_tuned, tmp_path, "magnitude", 0.5, labels=["negative", "neutral", "positive"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            ["positive", "negative"],
            "The model has its labels in the order negative, positive, and this run in the order",
        ),
        (["hate", "love"], "The model has the labels negative, positive, and this run has hate, love"),
    ],
)
def test_a_head_for_other_labels_is_refused(
    labels: list[str | int | bool], words: str, fine_tuned: Path, tmp_path: Path
) -> None:
    table = reviews(200)
    meant = {"hate": ["hate", "love"]}.get(str(labels[0]), ["negative", "positive"])
    column = [meant[label == "positive"] for label in table["label"].to_pylist()]
    spec = short_spec("magnitude", target_sparsity=0.5, training={"max_steps": None, "epochs": 0})
    with pytest.raises(ModelError, match=words):
        prune(fine_tuned, table.set_column(1, "label", [column]), spec, tmp_path, labels=labels, illustrated=False)


def test_labels_take_the_order_of_the_models_own_head(fine_tuned: Path, tmp_path: Path) -> None:
    """A head that says `positive` first is not read as if it said `negative` first."""
    swapped = tmp_path / "swapped"
    model = AutoModelForSequenceClassification.from_pretrained(fine_tuned)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.copy_(parameter.flip(0))
    model.config.id2label = {0: "positive", 1: "negative"}
    model.config.label2id = {"positive": 0, "negative": 1}
    model.save_pretrained(swapped)
    for file in fine_tuned.glob("tokenizer*"):
        shutil.copy(file, swapped)
    result = untrained(swapped, tmp_path / "out", "magnitude", 0.3)
    assert result.report["data"]["labels"] == ["positive", "negative"]  # type: ignore[index]  # the report is JSON data
    straight = untrained(fine_tuned, tmp_path / "straight", "magnitude", 0.3)
    assert np.isclose(result.evaluation["accuracy"], straight.evaluation["accuracy"])
    shipped = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "model")
    assert shipped.config.id2label == {0: "positive", 1: "negative"}
