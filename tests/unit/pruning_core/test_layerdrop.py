"""LayerDrop: layers that are missing at random in training, evenly spaced ones at the end, none in evaluation."""

from itertools import pairwise

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from pruning_core.masking import MaskedWeights
from pruning_core.methods.layerdrop import LayerDrop, LayerDropParameters
from pruning_core.prunable import prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.schedule import Schedule
from tests.families import of
from tests.unit.pruning_core.runs import short_spec
from tests.unit.pruning_core.toys import set_gradient


def deep(layers: int) -> PreTrainedModel:
    return of(
        AutoModelForSequenceClassification, "bert", num_hidden_layers=layers, hidden_size=8, intermediate_size=8,
        num_attention_heads=2,
    )()  # fmt: skip


def pruner_at(layers: int, density: float, rate: float = 0.0) -> Pruner:
    spec = short_spec("layerdrop", target_sparsity=1 - density, pruning={"params": {"rate": rate}})
    return Pruner(deep(layers), spec, Schedule("one_shot", 10, 1, 3, density))


def present(pruner: Pruner) -> list[int]:
    """Layers whose matrices hold anything."""
    return sorted(
        {m.layer for m in pruner.weights.matrices if m.layer is not None and bool(m.parameter.detach().any())}
    )


@pytest.mark.parametrize(
    ("layers", "density", "stay"),
    [
        (12, 0.5, [0, 2, 4, 7, 9, 11]),
        (12, 0.25, [0, 6, 11]),  # 5.5 rounds to even
        (12, 1 / 6, [0, 11]),
        (6, 0.5, [0, 2, 5]),
        (2, 0.5, [0]),
        (12, 0.625, [0, 2, 4, 6, 7, 9, 11]),  # seven and a half: the nearer count is one that units agree on
    ],
)
def test_layers_that_stay_are_evenly_spaced_from_first_to_last(layers: int, density: float, stay: list[int]) -> None:
    pruner = pruner_at(layers, density)
    pruner.update_masks(step=1)
    found = present(pruner)
    assert len(found) == len(stay)
    assert found[0] == 0
    if len(found) > 1:
        assert found[-1] == layers - 1
        gaps = [after - before for before, after in pairwise(found)]
        assert max(gaps) - min(gaps) <= 1
    assert found == stay


def test_on_the_way_the_last_of_the_others_go_first() -> None:
    pruner = pruner_at(6, 0.5)
    pruner.schedule = Schedule("linear", 100, 0, 0, 0.5)
    gone: list[int] = []
    for step in range(101):
        pruner.update_masks(step)
        gone += [layer for layer in range(6) if layer not in present(pruner) and layer not in gone]
    assert gone == [4, 3, 1]


def test_layers_are_missing_at_the_given_rate_and_their_weights_rest() -> None:
    weights = MaskedWeights(prunable_matrices(deep(8)), method := LayerDrop(LayerDropParameters(rate=0.3)))
    method.start(weights, Schedule("cubic", 100, 10, 30, 0.5))
    torch.manual_seed(0)
    missing = torch.zeros(8)
    draws = 600
    for _ in range(draws):
        weights.apply()
        absent = {m.layer for m in weights.matrices if not bool(m.parameter.detach().any())}
        missing += torch.tensor([float(layer in absent) for layer in range(8)])
        set_gradient(weights, torch.ones(len(weights)))
        weights.collect_gradients()
        for matrix, parameter in zip(weights.matrices, weights.trained, strict=True):
            assert parameter.grad is not None
            assert bool(parameter.grad.any()) is (matrix.layer not in absent)
    error = (0.3 * 0.7 / draws) ** 0.5
    assert bool(((missing / draws - 0.3).abs() < 5 * error).all())


def test_evaluation_has_every_layer_and_training_goes_on_with_a_new_draw() -> None:
    pruner = pruner_at(8, 0.5, rate=0.9)
    pruner.begin()
    assert len(present(pruner)) < 8
    for _ in range(5):
        with pruner.as_shipped():
            assert len(present(pruner)) == 8
    pruner.weights.settle()
    assert len(present(pruner)) == 8
