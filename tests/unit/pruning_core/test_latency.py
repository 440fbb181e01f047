"""Ways are measured in turn, and what one takes is told of that one."""

import time

import pytest

from pruning_core.latency import LEAST_ROUNDS, MOST_ROUNDS, forward, interleaved_medians
from pruning_core.probing import random_inputs
from tests.tiny import tiny_model


def test_each_way_has_its_own_median() -> None:
    medians = interleaved_medians({"slow": lambda: time.sleep(0.02), "quick": lambda: None}, seconds=0.1)
    assert list(medians) == ["slow", "quick"]
    assert medians["slow"] >= 0.02
    assert medians["quick"] < 0.01


def test_ways_take_turns_and_every_second_round_goes_backwards() -> None:
    called: list[str] = []
    interleaved_medians({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, seconds=0.0)
    assert "".join(called) == "ab" + "abbaab"[: 2 * LEAST_ROUNDS]


def test_quick_ways_are_not_called_without_end() -> None:
    called: list[int] = []
    interleaved_medians({"one": lambda: called.append(1)}, seconds=60.0)
    assert len(called) == 1 + MOST_ROUNDS


def test_one_call_that_is_held_up_does_not_show() -> None:
    calls = 0

    def once_held_up() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.2 if calls == 2 else 0.001)

    assert interleaved_medians({"one": once_held_up}, seconds=0.3)["one"] < 0.1


@pytest.mark.parametrize("rows", [1, 4])
def test_a_model_s_forward_pass_is_a_way(rows: int) -> None:
    model = tiny_model()
    model.train(mode=False)
    way = forward(model, random_inputs(model.config, rows=rows, tokens=8))
    assert 0 < interleaved_medians({"model": way}, seconds=0.0)["model"] < 10
