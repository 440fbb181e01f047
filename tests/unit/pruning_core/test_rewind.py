"""Iterative magnitude pruning with rewinding: what is remembered, what goes, what comes back."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pruning_core.methods.rewind import Rewind, RewindParameters, Rounds
from pruning_core.schedule import Schedule
from tests.tiny import save_tiny_model
from tests.unit.pruning_core.runs import PRUNABLE, short_run, short_spec
from tests.unit.pruning_core.toys import TwoLayers, batch, initial_weights, masked


class Story:
    """A run of the toy, written down: W and its bias after each step, before any rewinding."""

    def __init__(self, rounds: int, rewind_to: float, total: int = 40) -> None:
        method = Rewind(RewindParameters(rounds=rounds, rewind_to=rewind_to))
        plain = Schedule("cubic", total, 4, 12, 0.25)
        self.schedule = method.plan(plain)
        network = TwoLayers()
        self.weights = masked(network, method, schedule=self.schedule)
        self.biases = [network.first.bias, network.second.bias]
        self.optimizer = torch.optim.AdamW([*self.weights.trained, *self.biases], lr=0.02, weight_decay=0.0)
        method.attend(self.biases, self.optimizer)
        self.after = {0: (initial_weights(), network.first.bias.detach().clone())}
        self.ends = self.schedule.cuts()  # type: ignore[attr-defined]  # a Rounds
        self.masks = [self.weights.mask.clone()]
        self.remembered_at = min(round(rewind_to * self.ends[0]), self.ends[0] - 1)
        for step in range(total):
            network(batch(step)).backward()
            self.weights.collect_gradients()
            self.optimizer.step()
            for bias in self.biases:
                bias.grad = None
            self.after[step + 1] = (self.weights.weight.clone(), self.biases[0].detach().clone())
            method.step = step + 1
            if step + 1 in self.ends:
                keep = round(self.schedule.density(step + 1) * 56)
                order = self.weights.weight.abs().sort(descending=True).indices
                self.weights.mask.fill_(False)[order[:keep]] = True
                self.masks.append(self.weights.mask.clone())
            method.after_selection()
            self.weights.drop_gradients()
            self.weights.apply()
            if step + 1 in self.ends:
                self.check_round()

    def check_round(self) -> None:
        weight, bias = self.after[self.remembered_at]
        assert torch.equal(self.weights.weight, torch.where(self.weights.mask, weight, 0.0))
        assert torch.equal(self.biases[0].detach(), bias)
        for state in self.optimizer.state.values():
            assert all(not bool(tensor.any()) for tensor in state.values()), "moments are forgotten"


@pytest.mark.parametrize("rewind_to", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("rounds", [1, 3])
def test_after_each_round_kept_weights_are_the_remembered_ones_and_the_others_zero(
    rounds: int, rewind_to: float
) -> None:
    story = Story(rounds, rewind_to)
    assert len(story.masks) == rounds + 1
    for before, after in pairwise(story.masks):
        assert bool((before | ~after).all()), "masks are nested"
        assert int(after.sum()) < int(before.sum())
    assert int(story.masks[-1].sum()) == 14
    assert not bool(story.weights.weight[~story.weights.mask].any()), "what has gone stays gone"


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_model_that_knows_its_task_is_cut_before_the_first_step(rounds: int) -> None:
    method = Rewind(RewindParameters(rounds=rounds, rewind_to=0.0))
    schedule = method.plan(Schedule("cubic", 60, 0, 0, 0.25, trained=True))
    assert isinstance(schedule, Rounds)
    assert schedule.cuts() == [60 * part // rounds for part in range(rounds)]
    densities = [schedule.density(step) for step in (0, 59, 60)]
    assert densities == [pytest.approx(0.25 ** (1 / rounds)), 0.25, 0.25]


def test_by_default_it_is_cut_once_and_others_three_times() -> None:
    for trained, rounds in ((True, 1), (False, 3)):
        schedule = Rewind().plan(Schedule("cubic", 60, 0, 0, 0.25, trained=trained))
        assert isinstance(schedule, Rounds)
        assert schedule.rounds == rounds
        spec = short_spec("rewind", training={"dense_baseline": trained})
        assert spec.resolved(96, 32).pruning.params["rounds"] == rounds
    assert short_spec("rewind", pruning={"params": {"rounds": 4}}).resolved(96, 32).pruning.params["rounds"] == 4


def test_what_has_gone_stays_gone_where_fewer_weights_than_matrices_are_kept(tmp_path: Path) -> None:
    """The best of an emptied matrix is a zero, and no better than the weights that are left."""
    short_run(save_tiny_model(tmp_path / "pretrained"), tmp_path, short_spec("rewind", target_sparsity=0.9999))
    weights = load_file(tmp_path / "model" / "model.safetensors")
    prunable = [tensor for name, tensor in weights.items() if ".encoder." in name and tensor.dim() == 2]
    assert sum(int(tensor.count_nonzero()) for tensor in prunable) == round(0.0001 * PRUNABLE)


def test_each_part_has_a_learning_rate_cycle_of_its_own() -> None:
    method = Rewind(RewindParameters(rounds=3))
    method.start(masked(TwoLayers(), Rewind(), schedule=method.plan(Schedule("cubic", 400, 40, 120, 0.1))),
                 method.plan(Schedule("cubic", 400, 40, 120, 0.1)))  # fmt: skip
    rates = [method.learning_rate_factor(step) for step in range(400)]
    for start in range(0, 400, 100):
        part = rates[start : start + 100]
        assert part[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
        assert part[10:70] == [1.0] * 60
        assert part[70:] == pytest.approx([(100 - i) / 30 for i in range(70, 100)])
