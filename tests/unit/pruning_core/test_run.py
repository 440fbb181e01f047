"""Whole runs of the library on a tiny model: it learns, prunes exactly, repeats itself, and leaves the right files."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pruning_core import ModelError, Progress, PruningResult, PruningSpec, load_packed, prune
from pruning_core.report import notes_on_the_comparison
from pruning_core.report_schema import Comparison, Interval, Verdict
from pruning_core.schedule import ScheduleError
from pruning_core.standing import Standing
from pruning_core.tasks.base import DataError
from tests.tiny import reviews, save_tiny_model, tiny_config

MATRICES_WEIGHTS = 2 * (4 * 32 * 32 + 2 * 32 * 64)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def spec(**changes: object) -> PruningSpec:
    fields = {
        "method": "movement",
        "target_sparsity": 0.9,
        "task": {"text": "text", "label": "label"},
        "training": {"epochs": 6, "batch_size": 16, "learning_rate": 5e-3, "max_length": 32, "dense_baseline": False},
    }
    return PruningSpec.model_validate(fields | changes)


def run(model_dir: Path, output: Path, a_spec: PruningSpec) -> PruningResult:
    return prune(model_dir, reviews(480), a_spec, output, evaluation=reviews(200, seed=1), illustrated=False)


@pytest.mark.parametrize(("method", "scope"), [("movement", "global"), ("movement", "local"), ("magnitude", "global")])
def test_a_run_learns_and_ends_at_exactly_the_target(method: str, scope: str, model_dir: Path, tmp_path: Path) -> None:
    result = run(model_dir, tmp_path, spec(method=method, pruning={"scope": scope}))
    assert result.evaluation["accuracy"] > 0.9
    assert sum(layer.kept for layer in result.layers) == round(0.1 * MATRICES_WEIGHTS)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    names = [f"bert.{layer.name}.weight" for layer in result.layers]
    assert sum(int((weights[name] != 0).sum()) for name in names) == round(0.1 * MATRICES_WEIGHTS)
    if scope == "local":
        assert all(abs(layer.kept - 0.1 * layer.total) <= 1 for layer in result.layers)


def test_the_exported_directory_predicts_with_stock_transformers(model_dir: Path, tmp_path: Path) -> None:
    run(model_dir, tmp_path, spec())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    texts = ["the film was superb lovely and bright", "the plot was dull awful and boring"]  # as those it learnt from
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        winners = model(**batch).logits.argmax(dim=-1).tolist()
    assert [model.config.id2label[i] for i in winners] == ["positive", "negative"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(model_dir: Path, tmp_path: Path) -> None:
    training = spec().training.model_dump()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(model_dir, tmp_path / name, spec(training=training | {"epochs": 2, "seed": seed}))
    first, again, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in "abc")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_dense_baseline_and_the_report(model_dir: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    training = spec().training.model_dump() | {"dense_baseline": True}
    result = prune(
        model_dir,
        reviews(480),
        spec(training=training),
        tmp_path,
        evaluation=reviews(200, seed=1),
        on_progress=seen.append,
        lineage_extra={"dataset": "words"},
        illustrated=False,
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["dense_eval"] == result.dense_evaluation
    assert report["eval"]["accuracy"] == result.evaluation["accuracy"]
    assert report["density"]["prunable"] == pytest.approx(0.1, abs=1 / MATRICES_WEIGHTS)
    assert report["data"] | {"labels": ["negative", "positive"], "train_rows": 480, "steps": 180} == report["data"]
    assert report["bytes"]["dense"] == sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    assert report["lineage"]["dataset"] == "words"
    assert report["lineage"]["packages"]["secateur"] == version("secateur")
    assert report["spec"]["training"]["seed"] == 42
    assert report["spec"]["training"]["score_learning_rate"] > 0, "what was left out is written out"

    assert [progress.phase for progress in seen].index("pruning") > 0
    assert seen[-1].step == seen[-1].total_steps == 360
    assert [progress.phase for progress in seen[-2:]] == ["pruning", "delivering"]
    assert seen[-1].density == 0.1
    names = {name for progress in seen for name in progress.metrics}
    assert {"train/loss", "dense/train/loss", "eval/accuracy", "dense/eval/accuracy", "density"} <= names
    densities = [progress.metrics["density"] for progress in seen if "density" in progress.metrics]
    assert densities == sorted(densities, reverse=True)


def test_a_rounded_packed_model_is_judged_again_and_reported(model_dir: Path, tmp_path: Path) -> None:
    result = run(model_dir, tmp_path, spec(export={"packed": "int8", "packed_unpruned": "fp16"}))
    unpacked = load_packed(tmp_path / "model.packed")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    kept = {name: parameter != 0 for name, parameter in stock.named_parameters() if "encoder" in name}
    assert all(torch.equal(p != 0, kept[name]) for name, p in unpacked.named_parameters() if "query.weight" in name)
    embeddings, rounded = (m.get_input_embeddings().get_parameter("weight") for m in (stock, unpacked))
    assert torch.equal(rounded, embeddings.half().float())
    assert result.packed_evaluation["loss"] == pytest.approx(result.evaluation["loss"], abs=0.01)
    assert result.packed_evaluation["loss"] != result.evaluation["loss"]
    assert result.report["packed_eval"] == result.packed_evaluation
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["bytes"]["packed"] == (tmp_path / "model.packed").stat().st_size
    assert "kept as int8, other matrices as fp16. Its accuracy is" in report["notes"][-1]


def test_chat_templates_that_could_be_no_files_do_not_fail_a_run(tmp_path: Path) -> None:
    """`save_pretrained` writes a file for each, and these would be refused when all was trained."""
    directory = save_tiny_model(tmp_path / "tiny")
    named = [{"name": name, "template": "x"} for name in ("default", "tool use", "../../evil", "rag", "RAG")]
    file = directory / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": named}))
    run(directory, tmp_path / "out", spec(training=spec().training.model_dump() | {"max_steps": 20}))
    assert (tmp_path / "out" / "model" / "chat_template.jinja").read_text() == "x"


def test_a_model_of_few_positions_is_compared_within_them(tmp_path: Path) -> None:
    directory = save_tiny_model(tmp_path / "tiny")
    few = AutoModelForSequenceClassification.from_config(tiny_config(max_position_embeddings=12))
    few.save_pretrained(directory)
    training = spec().training.model_dump() | {"max_steps": 20, "max_length": 12}
    run(directory, tmp_path / "out", spec(training=training, export={"onnx": True}))
    assert (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize(("low", "share", "told"), [(0.45, 0.5, True), (0.52, 0.5, False), (0.9, 1.0, False)])
def test_who_is_hardly_better_than_guessing_is_told_so(low: float, share: float, told: bool) -> None:
    judged = Comparison(
        metric="accuracy",
        rows=300,
        pruned=Interval(value=low + 0.05, low=low, high=low + 0.1),
        dense=None,
        difference=None,
        p_value=None,
        methods="",
    )
    standing = Standing(judged, Verdict(kind="no_baseline", sentence=""))
    notes = notes_on_the_comparison(spec(), standing, steps=20, start_density=1.0, majority_share=share)
    assert any("It is not sure" in note for note in notes) == told


@pytest.mark.parametrize(("low", "share", "told"), [(0.01, 0.013, True), (0.02, 0.013, False), (0.9, 1.0, False)])
def test_a_dense_model_that_hardly_learnt_its_task_is_called_no_measure(low: float, share: float, told: bool) -> None:
    """77 classes after 60 steps: dense 1.4, pruned 9.1, which is no gain by pruning."""
    pruned, dense = Interval(value=0.95, low=0.93, high=0.97), Interval(value=low + 0.01, low=low, high=low + 0.02)
    judged = Comparison(
        metric="accuracy", rows=300, pruned=pruned, dense=dense, difference=None, p_value=None, methods=""
    )
    standing = Standing(judged, Verdict(kind="gain", sentence=""))
    notes = notes_on_the_comparison(spec(), standing, steps=20, start_density=1.0, majority_share=share)
    assert any("The dense model is no measure: after its 20 steps" in note for note in notes) == told


def test_a_model_that_only_guesses_is_called_useless(model_dir: Path, tmp_path: Path) -> None:
    """At a learning rate of next to nothing a random model stays one, and labels are split evenly."""
    training = spec().training.model_dump() | {"learning_rate": 1e-9, "max_steps": 20}
    useless = run(model_dir, tmp_path / "useless", spec(training=training))
    assert useless.evaluation["accuracy"] <= 0.5
    assert "no better than always guessing" in str(useless.report["notes"])
    assert "no better than always guessing" not in str(run(model_dir, tmp_path / "good", spec()).report["notes"])


def test_the_curve_is_measured_with_the_mask_of_the_moment(model_dir: Path, tmp_path: Path) -> None:
    """The last point of the curve is the final model's quality: nothing is pruned after it."""
    seen: list[Progress] = []
    training = spec().training.model_dump() | {"precision": "fp32"}
    evaluation = reviews(200, seed=1)
    result = prune(
        model_dir,
        reviews(480),
        spec(training=training),
        tmp_path,
        evaluation=evaluation,
        on_progress=seen.append,
        illustrated=False,
    )
    last = [progress.metrics["eval/loss"] for progress in seen if "eval/loss" in progress.metrics][-1]
    assert last == pytest.approx(result.evaluation["loss"], rel=1e-5)


def test_pairs_are_learned_from_both_texts(model_dir: Path, tmp_path: Path) -> None:
    table = reviews(600)
    empty = pa.array(["the film"] * 600)
    pairs = pa.table({"first": empty, "second": table["text"], "label": table["label"]})
    task = {"text": "first", "text_pair": "second", "label": "label"}
    result = prune(model_dir, pairs, spec(task=task), tmp_path, illustrated=False)
    assert result.evaluation["accuracy"] > 0.9
    assert result.report["data"]["held_out"] is True  # type: ignore[index]  # the report is JSON data


def test_embeddings_stay_as_pretrained_unless_asked(model_dir: Path, tmp_path: Path) -> None:
    before = load_file(model_dir / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    training = spec().training.model_dump() | {"epochs": 2}
    for name, frozen in (("frozen", True), ("trained", False)):
        run(model_dir, tmp_path / name, spec(training=training | {"freeze_embeddings": frozen}))
        after = load_file(tmp_path / name / "model" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        assert torch.equal(before, after) is frozen


def test_an_exception_from_the_callback_ends_the_run(model_dir: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(model_dir, reviews(480), spec(), tmp_path, on_progress=stop, illustrated=False)


def test_a_run_too_short_to_prune_in_is_refused_before_training(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match="pruning window"):
        prune(model_dir, reviews(64), spec(training={"epochs": 1}), tmp_path, illustrated=False)


def test_texts_longer_than_the_model_s_positions_are_refused_before_training(model_dir: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise AssertionError("a step was taken")

    words = r"training\.max_length is 65, and the model has positions for 64 tokens\. Use 64 or less\."
    with pytest.raises(ModelError, match=words):
        prune(model_dir, reviews(96), spec(training={"max_length": 65}), tmp_path, on_progress=stop, illustrated=False)


def test_a_length_left_out_is_lowered_to_the_model_s_positions(model_dir: Path, tmp_path: Path) -> None:
    training = {"max_steps": 20, "batch_size": 4, "dense_baseline": False}
    long = reviews(24).set_column(0, "text", pa.array(["the film was great " * 50] * 24))
    result = prune(model_dir, long, spec(training=training), tmp_path, evaluation=reviews(8), illustrated=False)
    assert result.report["spec"]["training"]["max_length"] == 64  # type: ignore[index]  # the report is JSON data


def test_rows_that_do_not_fit_the_task_are_refused(model_dir: Path, tmp_path: Path) -> None:
    one_class = pa.table({"text": ["a"] * 50, "label": ["x"] * 50})
    with pytest.raises(DataError, match="one class"):
        prune(model_dir, one_class, spec(), tmp_path, illustrated=False)
    with pytest.raises(DataError, match=r"no column 'label'\. The columns are: text, category"):
        prune(model_dir, pa.table({"text": ["a"], "category": ["x"]}), spec(), tmp_path, illustrated=False)
    stranger = pa.table({"text": ["a"], "label": ["unheard"]})
    with pytest.raises(DataError, match="unheard"):
        prune(
            model_dir,
            reviews(480),
            spec(),
            tmp_path,
            evaluation=stranger,
            labels=["negative", "positive"],
            illustrated=False,
        )


def test_accumulating_gradients_changes_neither_loss_nor_gradient(model_dir: Path, tmp_path: Path) -> None:
    """One step over 16 rows is one step over 16 rows, taken whole or in four parts."""
    first: dict[int, dict[str, float]] = {}
    for parts in (1, 4):
        training = {"max_steps": 20, "batch_size": 16 // parts, "gradient_accumulation": parts, "precision": "fp32"}
        seen: list[Progress] = []
        a_spec = spec(training=training | {"dense_baseline": False, "max_length": 32})
        prune(
            model_dir,
            reviews(16),
            a_spec,
            tmp_path / str(parts),
            evaluation=reviews(20),
            on_progress=seen.append,
            illustrated=False,
        )
        first[parts] = next(progress.metrics for progress in seen if "train/loss" in progress.metrics)
    assert first[4]["train/loss"] == pytest.approx(first[1]["train/loss"], abs=0.02)
    assert first[4]["train/gradient_norm"] == pytest.approx(first[1]["train/gradient_norm"], rel=0.2)


def test_weights_that_do_not_belong_to_the_config_are_refused(model_dir: Path, tmp_path: Path) -> None:
    """Stock transformers would fill the gap with random numbers and only log it."""
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        run(broken, tmp_path / "out", spec())
