"""What a spec may ask for besides: the smaller model, ONNX and int8, each judged and timed; and what is refused."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pruning_core import ModelError, load_structured, prune
from pruning_core.evaluation import evaluate
from pruning_core.onnx.exporting import example_inputs, export_onnx
from pruning_core.onnx.running import OnnxModel
from pruning_core.speeds import Speed, measure
from pruning_core.structured.removal import remove_dead
from pruning_core.tasks.registry import task_of
from tests.families import built, family
from tests.tiny import reviews, save_tiny_model, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_run, short_spec
from tests.unit.pruning_core.structured.test_structured import kill

ALL = {"structured": True, "onnx": True, "int8": True}


@pytest.mark.slow
def test_a_run_leaves_a_smaller_model_onnx_and_int8_judged_and_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.speeds._SECONDS", 0.0)  # as few rounds as there may be
    model_dir = save_tiny_model(tmp_path / "tiny")
    spec = short_spec(target_sparsity=0.5, pruning={"granularity": "structured"}, export=ALL)
    result = short_run(model_dir, tmp_path, spec)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    smaller = load_structured(tmp_path / "structured")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "structured")
    batch = tokenizer(["the film was superb", "dull and awful plot with some music"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = stock(**batch).logits
        assert torch.allclose(smaller(**batch).logits, expected, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert {tuple(each.shape) for each in session.get_inputs()} == {("batch", "sequence")}
    (logits,) = session.run(["logits"], {each.name: batch[each.name].numpy() for each in session.get_inputs()})
    assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-4)

    report = json.loads((tmp_path / "report.json").read_text())
    structured = report["exports"]["structured"]
    assert (structured["heads"], structured["heads_dense"]) == (4, 8)
    assert (structured["neurons"], structured["neurons_dense"]) == (64, 128)
    assert structured["parameters"] == sum(p.numel() for p in smaller.parameters())
    assert structured["eval"] == pytest.approx(result.evaluation, abs=1e-5)
    assert report["exports"]["onnx"]["eval"]["accuracy"] == result.evaluation["accuracy"]
    assert set(report["exports"]["int8"]["eval"]) == {"accuracy", "f1_macro"}
    sizes = {name: (tmp_path / f"{name}.onnx").stat().st_size for name in ("model", "model.int8")}
    assert (report["bytes"]["onnx"], report["bytes"]["int8"]) == (sizes["model"], sizes["model.int8"])
    assert report["bytes"]["structured"] < report["bytes"]["dense"]
    timings = [Speed(**each) for each in report["export_latency"]["timings"]]
    timed = {(each.runtime, each.model) for each in timings}
    assert timed == {("pytorch", "dense"), ("pytorch", "structured")} | {
        ("onnxruntime", model) for model in ("dense", "structured", "int8")
    }
    assert {each.batch for each in timings} == {1, 32}
    assert len(timings) == 2 * len(timed)
    assert all(each.speedup == 1 for each in timings if each.model == "dense")
    assert (report["export_latency"]["threads"], report["export_latency"]["sequence"]) == (2, 64)


@pytest.mark.slow
def test_narrower_position_biases_are_exported_and_judged_as_in_pytorch(tmp_path: Path) -> None:
    """MPNet's attention is ours where heads are gone: the graph must have the biases of those that are left."""
    model = built(family("mpnet"))
    kill(model)
    smaller, _ = remove_dead(model)
    graph_file = tmp_path / "model.onnx"
    export_onnx(smaller, tiny_tokenizer(), graph_file)
    graph = OnnxModel(graph_file)
    inputs = example_inputs(model, tiny_tokenizer(), rows=4, tokens=11)
    with torch.inference_mode():
        assert torch.allclose(graph.answer(inputs)["logits"], model(**inputs).logits, atol=1e-4)
    many, timed = example_inputs(model, tiny_tokenizer(), rows=256, tokens=16), OnnxModel(graph_file, threads=2)
    assert idle_share(lambda: timed.answer(many)) < 0.2, "its threads would slow down what is timed next"
    task = task_of(short_spec().task, ["negative", "positive"])  # type: ignore[arg-type]  # the spec names a task
    judged = task.encode(reviews(40), tiny_tokenizer(), 16)
    expected = evaluate(model, tiny_tokenizer(), task, judged)
    assert evaluate(graph, tiny_tokenizer(), task, judged) == {k: v for k, v in expected.items() if k != "loss"}


@pytest.mark.slow
def test_a_model_of_pictures_is_exported_with_a_free_batch(tmp_path: Path) -> None:
    model = built(family("vit"))
    kill(model)
    smaller, _ = remove_dead(model)
    export_onnx(smaller, tiny_tokenizer(), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.shape) == ("pixel_values", ["batch", 3, 8, 8])
    inputs = example_inputs(model, tiny_tokenizer(), rows=5, tokens=1)
    with torch.inference_mode():
        expected = model(**inputs).logits
    (logits,) = session.run(["logits"], {"pixel_values": inputs["pixel_values"].numpy()})
    assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-4)


def idle_share(work: Callable[[], object]) -> float:
    """Share of a processor that is taken while nothing is asked, just after something was: the least of five times."""
    shares = []
    for _ in range(5):
        work()
        before = time.process_time()
        time.sleep(0.05)
        shares.append((time.process_time() - before) / 0.05)
    return min(shares)


def test_a_model_that_cannot_be_made_smaller_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    spec = short_spec(pruning={"granularity": "row"}, export={"structured": True})
    model_dir = save_tiny_model(tmp_path / "tiny", "modernbert")
    steps: list[object] = []
    with pytest.raises(ModelError, match="'modernbert' cannot be made physically smaller"):
        prune(model_dir, reviews(96), spec, tmp_path, evaluation=reviews(40, seed=1), on_progress=steps.append)
    assert not steps


def test_what_an_earlier_run_left_in_the_directory_is_not_taken_for_this_one_s(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "structured").mkdir(parents=True)
    for name in ("structured/model.safetensors", "model.onnx", "model.int8.onnx", "report.html", "notes.txt"):
        (out / name).write_text("of an earlier run")
    result = short_run(save_tiny_model(tmp_path / "tiny"), out, short_spec())
    assert result.report["exports"] == {}
    assert {path.name for path in out.iterdir()} == {
        "model", "model.packed", "masks.safetensors", "report.json", "notes.txt",
    }  # fmt: skip


def test_onnx_without_its_packages_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.onnx.exporting.PACKAGES", ("onnx", "there_is_no_such_package"))
    spec = short_spec(export={"onnx": True})
    with pytest.raises(ModelError, match=r"pip install 'secateur\[onnx\]'"):
        short_run(save_tiny_model(tmp_path / "tiny"), tmp_path, spec)


def test_speedups_are_those_of_the_same_round_and_threads_are_put_back() -> None:
    clock = {"dense": 0.004, "structured": 0.001}
    threads = torch.get_num_threads()
    seen: list[tuple[str, int]] = []

    def takes(name: str) -> Callable[[Mapping[str, Tensor]], object]:
        def answer(inputs: Mapping[str, Tensor]) -> None:
            seen.append((name, torch.get_num_threads()))
            time.sleep(clock[name])

        return answer

    candidates = {("pytorch", name): takes(name) for name in clock}
    found = measure(candidates, lambda batch: example_inputs(tiny_model(), tiny_tokenizer(), batch, 8))
    assert torch.get_num_threads() == threads
    assert {count for _, count in seen} == {2}
    turns = ["dense", "structured", "structured", "dense", "dense", "structured"]
    assert [name for name, _ in seen[2:8]] == turns  # and back, after one call each
    fast = next(each for each in found if each.model == "structured" and each.batch == 1)
    assert 1.5 < fast.speedup < 4.5
    assert fast.median_ms >= 1
