"""What is left of a matrix, fitted to the dense model: against numpy's least squares, and against the dense model."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, PreTrainedModel, T5ForConditionalGeneration

from pruning_core import training
from pruning_core.columns import TextClassification
from pruning_core.evaluation import Tick
from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS
from pruning_core.peers import Order
from pruning_core.probing import random_inputs
from pruning_core.prunable import prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank
from pruning_core.reconstruction import (
    OF_MEAN,
    OF_MEDIAN,
    RIDGE,
    ROUNDING,
    ROWS,
    TOKENS,
    Moments,
    fit,
    reconstruct,
    some_rows,
)
from pruning_core.run import Run
from pruning_core.schedule import Schedule
from pruning_core.splits import encode_splits
from pruning_core.tasks.registry import task_of
from pruning_core.training import FineTuning
from tests.families import MODELS, built
from tests.tiny import VOCABULARY, reviews, save_tiny_model, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_run, short_spec

FITTED: dict[str, object] = {"reconstruct": True}
WITH_BASELINE: dict[str, object] = {"dense_baseline": True}


def moments_of(x: Tensor, y: Tensor, *, biased: bool, parts: int = 3) -> Moments:
    points = (x[:5].mean(dim=0), y[:5].mean(dim=0)) if biased else (torch.zeros_like(x[0]), torch.zeros_like(y[0]))
    moments = Moments(*points)
    for some_x, some_y in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
        moments.add(some_x, some_y)
    return moments


def least_squares(x: Tensor, y: Tensor, near: Tensor, kept: Tensor, *, biased: bool) -> tuple[Tensor, Tensor]:
    """Row by row by numpy, in double precision, the pull being rows of the system like any others."""
    inputs, targets = x.double().numpy(), y.double().numpy()
    mean_x, mean_y = (inputs.mean(axis=0), targets.mean(axis=0)) if biased else (0 * inputs[0], 0 * targets[0])
    inputs, targets = inputs - mean_x, targets - mean_y
    squares = (inputs**2).sum(axis=0)
    usual = max(OF_MEDIAN * np.sort(squares)[(len(squares) - 1) // 2], OF_MEAN * squares.mean())
    pull = RIDGE * np.maximum(squares, usual) + len(x) * (ROUNDING * x.double().numpy().mean(axis=0)) ** 2
    weight = np.zeros(near.shape)
    for row, keep in enumerate(kept.numpy()):
        system = np.vstack([inputs[:, keep], np.diag(np.sqrt(pull[keep]))])
        wanted = np.concatenate([targets[:, row], np.sqrt(pull[keep]) * near.double().numpy()[row, keep]])
        weight[row, keep] = np.linalg.lstsq(system, wanted)[0]
    return torch.from_numpy(weight), torch.from_numpy(mean_y - weight @ mean_x)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("density", [0.03, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_each_row_is_the_least_squares_solution(biased: bool, density: float, seed: int) -> None:
    torch.manual_seed(seed)
    tokens, inputs, outputs = 200, 24, 40
    x = torch.randn(tokens, inputs) @ torch.randn(inputs, inputs) + 5 * torch.randn(inputs)  # correlated, far from zero
    y = x @ torch.randn(inputs, outputs) + torch.randn(tokens, outputs) + 3
    near, kept = torch.randn(outputs, inputs), torch.rand(outputs, inputs) < density
    kept[0], kept[1] = False, True
    weight, bias = fit(moments_of(x, y, biased=biased), near, kept, biased=biased)
    expected, expected_bias = least_squares(x, y, near, kept, biased=biased)
    torch.testing.assert_close(weight.double(), expected, rtol=1e-3, atol=1e-3)
    assert bool((weight[~kept] == 0).all())
    if not biased:
        assert bias is None
        return
    assert bias is not None
    torch.testing.assert_close(bias.double(), expected_bias, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(bias[0], y[:, 0].mean(), msg="without inputs, the mean")


def test_what_explains_the_targets_already_stays() -> None:
    torch.manual_seed(0)
    x, near = torch.randn(100, 8) + 1, torch.randn(6, 8)
    weight, bias = fit(
        moments_of(x, x @ near.T + 2, biased=True), near, torch.ones(6, 8, dtype=torch.bool), biased=True
    )
    torch.testing.assert_close(weight, near)
    torch.testing.assert_close(bias, torch.full((6,), 2.0), rtol=1e-4, atol=1e-4)


def test_inputs_that_never_change_say_nothing() -> None:
    x, y, near = torch.full((50, 4), 3.0), torch.randn(50, 2), torch.randn(2, 4)
    kept = torch.tensor([[True, False, True, True], [False, True, False, False]])
    weight, bias = fit(moments_of(x, y, biased=True), near, kept, biased=True)
    torch.testing.assert_close(weight, torch.where(kept, near, 0.0))
    torch.testing.assert_close(bias, y.mean(dim=0) - weight @ x[0])


def test_an_input_of_large_values_does_not_hold_the_others() -> None:
    torch.manual_seed(0)
    x, meant = torch.randn(500, 8), torch.randn(6, 8)
    x[:, 0] *= 30
    near = torch.zeros(6, 8)
    near[:, 0] = meant[:, 0]
    kept = torch.ones(6, 8, dtype=torch.bool)
    weight, _ = fit(moments_of(x, x @ meant.T, biased=True), near, kept, biased=True)
    torch.testing.assert_close(weight[:, 1:], meant[:, 1:] / (1 + RIDGE), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("alive", [40, 32, 8, 1])
@pytest.mark.parametrize("rounding", [2.0**-24, 2.0**-9])
def test_nothing_is_built_on_rounding(alive: int, rounding: float) -> None:
    """As where a row of values is gone: of the attention's outputs nothing but the bias is left, up to rounding."""
    torch.manual_seed(0)
    x = torch.full((400, 64), 0.5) * (1 + rounding * torch.randn(400, 64))
    x[:, :alive] = torch.randn(400, alive)
    near, kept = torch.randn(16, 64), torch.rand(16, 64) < 0.5
    y = torch.randn(400, 64) @ near.T
    weight, _ = fit(moments_of(x, y, biased=True), near, kept, biased=True)
    assert weight.abs().max() < 10 * near.abs().max()
    change = (x.bfloat16().float() - x) @ weight.T
    assert change.std() < 0.01 * y.std(), "what bf16 makes of the inputs does not change what is said"


def test_what_is_beyond_fp32_stays_as_it_was() -> None:
    torch.manual_seed(0)
    x, near, kept = torch.randn(50, 20) * 1e19, torch.randn(6, 20), torch.rand(6, 20) < 0.5
    weight, _ = fit(moments_of(x, x @ near.T, biased=True), near, kept, biased=True)
    assert torch.equal(weight, torch.where(kept, near, 0.0))


@pytest.mark.parametrize("name", MODELS)
def test_every_family_comes_nearer_to_its_dense_model(name: str) -> None:
    model, dense = built(MODELS[name]), built(MODELS[name])
    weights = pruned_by_lot(model, density=0.6)
    mask = weights.mask.clone()
    batch = rows_for(model)
    before = distance(model, dense, batch)
    reconstruct(weights, model, dense, batch, bf16=False)
    assert torch.equal(weights.mask, mask)
    assert bool((weights.weight[~mask] == 0).all())
    for matrix, where in zip(weights.matrices, weights.slices, strict=True):
        assert torch.equal(matrix.parameter.flatten(), weights.weight[where])
    assert distance(model, dense, batch) < (0.9 if name.startswith("t5") else 0.4) * before


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5, encoder only"])
def test_from_what_the_fitted_layers_say_comes_what_the_dense_model_says(name: str) -> None:
    """Each matrix is numpy's solution for the inputs that it now has, over real tokens."""
    model, dense = built(MODELS[name]), built(MODELS[name])
    weights = pruned_by_lot(model, density=0.4)
    batch = rows_for(model)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["attention_mask"][::2, 7:] = 0
    reconstruct(weights, model, dense, batch, bf16=False)
    inputs, _ = said_by(model, batch)
    _, outputs = said_by(dense, batch)
    originals = {matrix.name: matrix for matrix in prunable_matrices(dense)}
    for matrix in weights.matrices:
        original, fitted = originals[matrix.name].parameter.detach(), matrix.parameter.detach()
        if matrix.transposed:
            original, fitted = original.T, fitted.T
        bias = getattr(model.base_model.get_submodule(matrix.name), "bias", None)
        expected, expected_bias = least_squares(
            inputs[matrix.name], outputs[matrix.name], original, fitted != 0, biased=bias is not None
        )
        torch.testing.assert_close(fitted.double(), expected, rtol=1e-3, atol=1e-3)
        if bias is not None:
            torch.testing.assert_close(bias.detach().double(), expected_bias, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def said_by(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs of every prunable matrix, [real tokens, …]."""
    inputs, outputs = {}, {}
    real = batch["attention_mask"].bool()

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            inputs[name], outputs[name] = given[0][real], output[real]

        return keep

    names = [matrix.name for matrix in prunable_matrices(model)]
    handles = [model.base_model.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    model(**batch)
    for handle in handles:
        handle.remove()
    return inputs, outputs


def pruned_by_lot(model: PreTrainedModel, density: float, computes_in: torch.dtype = torch.float32) -> MaskedWeights:
    """The model computes with a share of its prunable weights from now on."""
    torch.manual_seed(1)
    weights = MaskedWeights(prunable_matrices(model), METHODS["magnitude"](), computes_in=computes_in)
    weights.method.start(weights, Schedule("one_shot", 0, 0, 0, density))
    weights.new_mask().copy_(torch.rand(len(weights)) < density)
    weights.apply()
    return weights


def rows_for(model: PreTrainedModel) -> dict[str, Tensor]:
    rows = random_inputs(model.config, 32, 12)
    return rows | ({"decoder_input_ids": rows["input_ids"]} if isinstance(model, T5ForConditionalGeneration) else {})


@torch.no_grad()
def distance(model: PreTrainedModel, dense: PreTrainedModel, batch: dict[str, Tensor]) -> float:
    """Mean squared difference of the answers."""
    ours, theirs = (each(**batch)[0] for each in (model, dense))
    return float((ours - theirs).square().mean())


@pytest.mark.parametrize(("rows", "words", "expected"), [(40, 4, 40), (400, 4, ROWS), (400, 62, TOKENS // 64)])
def test_rows_are_chosen_by_lot_and_bounded_by_their_tokens(rows: int, words: int, expected: int) -> None:
    texts = [" ".join(random.Random(row).choices(VOCABULARY[5:], k=words)) for row in range(rows)]
    table = pa.table({"text": texts, "label": ["a", "b"] * (rows // 2)})
    task, tokenizer = task_of(TextClassification(text="text", label="label"), ["a", "b"]), tiny_tokenizer()
    split = encode_splits(task, {"train": table, "evaluation": table}, tokenizer, 64, seed=0).train
    chosen = some_rows(tokenizer, task, split, seed=1)["input_ids"]
    assert len(chosen) == expected
    assert chosen.numel() <= TOKENS
    assert len({tuple(row.tolist()) for row in chosen}) == expected, "no row twice"
    assert torch.equal(chosen, some_rows(tokenizer, task, split, seed=1)["input_ids"])
    if expected < rows:
        assert not torch.equal(chosen, some_rows(tokenizer, task, split, seed=2)["input_ids"])


def run_of(folder: Path, method: str = "magnitude", **pruning: object) -> Run:
    spec = short_spec(method, training=WITH_BASELINE, pruning=FITTED | pruning)
    order = Order(save_tiny_model(folder / "tiny"), reviews(96), spec, reviews(40, seed=1), None, None, None)
    return Run(order, OneRank(torch.device("cpu")))


@pytest.mark.parametrize(
    ("method", "shape"),
    [(method, shape) for method in ("magnitude", "movement", "obd") for shape in ("one_shot", "cubic")]
    + [("l0", "cubic"), ("soft_movement", "cubic"), ("obs", "cubic")],
)
def test_what_is_left_is_fitted_to_the_baseline_when_the_density_is_reached(
    method: str, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, at the step at which the schedule ends; from then on masks stay, and what stays trains."""
    run = run_of(tmp_path, method, schedule={"shape": shape, "warmup": 0.25, "cooldown": 0.25})
    dense = run.fine_tune_dense()
    seen: list[tuple[int, bool]] = []
    kept: list[Tensor] = []
    fitted: list[Tensor] = []

    def watched(
        weights: MaskedWeights,
        model: PreTrainedModel,
        target: PreTrainedModel,
        batch: dict[str, Tensor],
        *,
        bf16: bool,
        tick: Tick,
    ) -> None:
        seen.append((weights.method.step, target is dense))
        kept.append(weights.mask.clone())
        reconstruct(weights, model, target, batch, bf16=bf16, tick=tick)
        fitted.append(weights.weight.clone())
        for matrix, where in zip(weights.matrices, weights.slices, strict=True):
            assert torch.equal(matrix.parameter.flatten(), weights.weight[where]), "nothing scales what was fitted"

    monkeypatch.setattr(training, "reconstruct", watched)
    pruner, _ = run.fine_prune(dense)
    assert seen == [(6 if shape == "one_shot" else 18, True)]
    assert torch.equal(pruner.weights.mask, kept[0])
    assert int(kept[0].sum()) == round(0.1 * len(pruner.weights))
    assert not bool(fitted[0][~kept[0]].any())
    assert not torch.equal(pruner.weights.weight, fitted[0])
    trained = pruner.weights.weight.where(kept[0], 0.0)
    for matrix, where in zip(pruner.weights.matrices, pruner.weights.slices, strict=True):
        assert torch.equal(matrix.parameter.flatten(), trained[where]), "nor what is trained"
    assert run.position.seconds["pruning"] > 0


def test_it_learns_to_say_what_the_baseline_says_before_it_is_trained(tmp_path: Path) -> None:
    """On rows that it was not fitted to, the answers of what is left of the baseline are nearer to the baseline's."""
    distances = {}
    for reconstructs in (False, True):
        run = run_of(tmp_path, schedule={"shape": "one_shot", "warmup": 0.0}, reconstruct=reconstructs)
        dense = run.fine_tune_dense()
        assert dense is not None
        network = run._to_prune(dense)
        pruner = Pruner(network, run.spec, run.schedule)
        phase = FineTuning(network, run.material, pruner=pruner, target=dense)
        phase.begin()
        batch = run.task.collate(run.tokenizer, [run.evaluation[item] for item in range(40)])
        distances[reconstructs] = distance(network.train(mode=False), dense.train(mode=False), without_labels(batch))
    assert distances[True] < 0.5 * distances[False]


def without_labels(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values for name, values in batch.items() if name != "labels"}


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_without_training_the_given_model_is_what_is_fitted_to(method: str, tmp_path: Path) -> None:
    given = built(lambda: tiny_model("bert"))
    given.config.id2label, given.config.label2id = {0: "negative", 1: "positive"}, {"negative": 0, "positive": 1}
    given.save_pretrained(tmp_path / "given")
    tiny_tokenizer().save_pretrained(tmp_path / "given")
    distances, counts = {}, {}
    for reconstructs in (False, True):
        untrained = {"target_sparsity": 0.5, "training": {"max_steps": 0}, "pruning": {"reconstruct": reconstructs}}
        result = short_run(tmp_path / "given", tmp_path / "out", short_spec(method, **untrained))
        pruned = BertForSequenceClassification.from_pretrained(tmp_path / "out" / "model")
        texts = tiny_tokenizer()(reviews(40, seed=1)["text"].to_pylist(), padding=True, return_tensors="pt")
        distances[reconstructs] = distance(pruned, given, dict(texts))
        counts[reconstructs] = [layer.kept for layer in result.layers]
    assert distances[True] < 0.5 * distances[False]
    assert counts[True] == counts[False]


def test_in_bf16_it_comes_as_near(tmp_path: Path) -> None:
    distances = []
    for number_format in (torch.float32, torch.bfloat16):
        model, dense = built(MODELS["bert"]), built(MODELS["bert"])
        weights = pruned_by_lot(model, density=0.4, computes_in=number_format)
        batch = rows_for(model)
        reconstruct(weights, model, dense, batch, bf16=number_format == torch.bfloat16)
        weights.settle()
        distances.append(distance(model, dense, batch))
    assert distances[1] < 1.2 * distances[0]
