"""Head pruning: the sensitivity of the loss to a gate on each head, against autograd with gates that are there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pruning_core.prunable import NothingToPrune, base_model, prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.schedule import Schedule
from tests.families import built
from tests.tiny import save_tiny_model, tiny_model
from tests.unit.pruning_core.runs import short_run, short_spec

SCHEDULE = Schedule("cubic", 100, 10, 30, 0.5)


def batch(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"input_ids": torch.randint(5, 25, (4, 8), generator=generator), "labels": torch.tensor([0, 1, 1, 0])}


def gate_gradients(model: PreTrainedModel, seed: int) -> Tensor:
    """[heads] ∂L/∂ξ with ξ = 1 on what each head hands to the output projection."""
    gates, hooks = [], []
    for matrix in prunable_matrices(model):
        if matrix.heads is None or matrix.heads.axis != "in":
            continue
        gate = torch.ones(matrix.heads.count, requires_grad=True)
        gates.append(gate)
        projection = base_model(model).get_submodule(matrix.name)
        wide = matrix.heads.size
        hooks.append(
            projection.register_forward_pre_hook(lambda _, x, g=gate, w=wide: (x[0] * g.repeat_interleave(w),))
        )
    gradients = torch.autograd.grad(model(**batch(seed)).loss, gates)
    for hook in hooks:
        hook.remove()
    return torch.cat(gradients)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_the_sensitivity_is_the_summed_absolute_gradient_of_each_head_s_gate(model_type: str) -> None:
    model = built(lambda: tiny_model(model_type))
    if model_type == "gpt2":
        model.config.pad_token_id = 0
    expected = sum(gate_gradients(model, seed).abs() for seed in (1, 2, 3))
    assert isinstance(expected, Tensor)

    pruner = Pruner(model, short_spec("head"), SCHEDULE)
    pruner.begin()
    for seed in (1, 2, 3):
        model(**batch(seed)).loss.backward()
        pruner.before_optimizer_step([], max_norm=1e9)
        pruner.weights.drop_gradients()
        pruner.weights.apply()
    torch.testing.assert_close(pruner.weights.buffers["sensitivity"], expected, rtol=1e-4, atol=1e-7)

    units = pruner.weights.units
    assert units is not None
    pruner.weights.method.step = 3
    ranks = pruner.weights.method.unit_importance(units)
    layers = expected.view(2, 4)
    torch.testing.assert_close(ranks, (layers / layers.norm(dim=1, keepdim=True)).flatten(), rtol=1e-4, atol=1e-7)


def test_the_heads_of_least_sensitivity_lose_their_rows_and_columns() -> None:
    model = built(tiny_model)
    pruner = Pruner(model, short_spec("head"), Schedule("one_shot", 10, 1, 3, 0.5))
    pruner.begin()
    model(**batch(1)).loss.backward()
    pruner.before_optimizer_step([], max_norm=1e9)
    pruner.after_optimizer_step(1, learning_rate=0.0)
    sensitivity = pruner.weights.buffers["sensitivity"].view(2, 4)
    ranks = (sensitivity / sensitivity.norm(dim=1, keepdim=True)).flatten()
    stay = set(ranks.argsort(descending=True)[:4].tolist())
    for matrix in pruner.weights.matrices:
        assert matrix.heads is not None
        assert matrix.layer is not None
        by_head = (
            matrix.parameter.detach().view(4, 8, 32)
            if matrix.heads.axis == "out"
            else (matrix.parameter.detach().T.reshape(4, 8, 32))
        )
        for head in range(4):
            assert bool((by_head[head] != 0).all()) is (matrix.layer * 4 + head in stay)
            assert bool(by_head[head].any()) is (matrix.layer * 4 + head in stay)


def test_before_the_first_gradient_heads_are_ranked_by_their_weights_magnitude() -> None:
    model = built(tiny_model)
    pruner = Pruner(model, short_spec("head"), Schedule("one_shot", 10, 0, 3, 0.5))
    size = pruner.weights.weight.abs()
    assert pruner.weights.units is not None
    means = pruner.weights.units.sum(size) / pruner.weights.units.sizes
    pruner.begin()
    kept = pruner.weights.units.sum(pruner.weights.mask.float()) > 0
    assert set(kept.nonzero().flatten().tolist()) == set(means.argsort(descending=True)[:4].tolist())


@pytest.mark.parametrize(
    ("model_type", "pattern", "missing"),
    [
        ("bert", "query|key|value", r"encoder\.layer\.0\.attention\.output\.dense"),
        ("bert", r"attention\.self|layer\.0\.attention", r"encoder\.layer\.1\.attention\.output\.dense"),
        ("gpt2", "c_attn", r"h\.0\.attn\.c_proj"),
    ],
)
def test_a_layer_without_the_projection_that_ranks_its_heads_is_refused(
    model_type: str, pattern: str, missing: str
) -> None:
    """Its heads would all rank zero, and go by a hash of their number."""
    with pytest.raises(NothingToPrune, match=f"leaves out '{missing}', by which method 'head' ranks"):
        Pruner(built(lambda: tiny_model(model_type)), short_spec("head", pruning={"modules": pattern}), SCHEDULE)


@pytest.mark.parametrize(
    ("method", "pruning", "words"),
    [
        ("head", {"modules": "query"}, "ranks that layer's heads"),
        ("movement", {"modules": "nonsense"}, r"matches pruning\.modules 'nonsense'"),
        ("magnitude", {"granularity": "head", "modules": "intermediate"}, "intermediate"),
    ],
)
def test_what_cannot_be_pruned_is_refused_before_the_dense_baseline_is_trained(
    method: str, pruning: dict[str, object], words: str, tmp_path: Path
) -> None:
    def stop(progress: object) -> None:
        raise AssertionError("a step was taken")

    spec = short_spec(method, pruning=pruning, training={"dense_baseline": True})
    with pytest.raises(NothingToPrune, match=words):
        short_run(save_tiny_model(tmp_path), tmp_path / "out", spec, on_progress=stop)
