"""Regression: numbers checked, correlations as statistics defines them, a teacher's number passed on."""

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers.utils.generic import ModelOutput

from pruning_core.columns import Regression
from pruning_core.tasks.base import DataError
from pruning_core.tasks.regression import RateTexts
from tests.unit.pruning_core.tasks.tokenizers import word_pieces

TASK = RateTexts(Regression(text="one", text_pair="other", label="score"), [])
CPU = torch.device("cpu")


def table(scores: pa.Array) -> pa.Table:
    return pa.table({"one": ["a film"] * len(scores), "other": ["a play"] * len(scores), "score": scores})


def quality(predicted: list[float], true: list[float]) -> dict[str, float]:
    """The figures, the rows in two batches of unlike size."""
    split = TASK.encode(table(pa.array(true)), word_pieces("a film play"), 16)
    judge = TASK.quality(split, CPU)
    for items in (np.arange(1), np.arange(1, len(true))):
        if len(items):
            logits = torch.tensor(predicted)[items][:, None]
            judge.update(items, ModelOutput(logits=logits), {"labels": torch.tensor(true)[items]})
    return judge.compute()


def test_numbers_are_targets_and_whole_ones_become_floats() -> None:
    split = TASK.encode(table(pa.array([1, 5])), word_pieces("a film play"), 16)
    assert split[1]["labels"] == 5.0
    assert isinstance(split[1]["labels"], float)
    batch = TASK.collate(word_pieces("a film play"), [split[0], split[1]])
    assert batch["labels"].dtype == torch.float32
    assert set(batch["token_type_ids"].unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (pa.array([1.0, None, 2.0]), "holds no number in row 2"),
        (pa.array([1, 2, None]), "holds no number in row 3"),
        (pa.array([math.nan, 2.0]), "holds nan, which is no finite number, in row 1"),
        (pa.array([2.0, -math.inf]), "holds -inf, which is no finite number, in row 2"),
        (pa.array([1.0, -1e20]), r"holds -1e\+20 in row 2\. The squared error of numbers beyond 1e\+15 .* divide them"),
        (pa.array([1, 10**17 + 1]), r"holds 1e\+17 in row 2"),  # which no float64 is
        (pa.array(["1", "2"]), r"holds string\. Regression needs numbers"),
    ],
)
def test_what_is_no_number_is_refused_with_its_row(scores: pa.Array, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TASK.encode(table(scores), word_pieces("a"), 16)
    with pytest.raises(DataError, match=words):
        TASK.hold_out(table(scores), 0.5, seed=0)


def test_correlations_are_those_of_the_textbook() -> None:
    predicted, true = [2.0, 4.0, 6.5, 7.0, 1.0, 3.0], [1.0, 3.0, 3.5, 8.0, 0.5, 4.0]
    found = quality(predicted, true)
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-6)
    # no ties: 1 - 6 Σd² / (n (n² - 1)), with ranks (2 4 5 6 1 3) and (2 3 4 6 1 5): d² = 0 1 1 0 0 4
    assert found["spearman"] == pytest.approx(1 - 6 * 6 / (6 * 35), abs=1e-6)
    assert found["mse"] == pytest.approx(np.mean((np.array(predicted) - np.array(true)) ** 2), rel=1e-6)


def test_tied_numbers_share_the_mean_rank() -> None:
    # ranks (1.5 1.5 3 4) and (1 2 3 4)
    expected = np.corrcoef([1.5, 1.5, 3, 4], [1, 2, 3, 4])[0, 1]
    assert quality([0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0])["spearman"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("predicted", "true"),
    [([3.0] * 4, [1.0, 2.0, 3.0, 4.0]), ([1.0, 2.0, 3.0, 4.0], [3.0] * 4), ([1.0], [2.0])],
)
def test_a_constant_correlates_with_nothing(predicted: list[float], true: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quality(predicted, true)
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
    assert math.isfinite(found["mse"])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e12])
def test_the_scale_of_the_numbers_does_not_matter(scale: float) -> None:
    true = [1.0, 2.0, 4.0, 3.0]
    found = quality([scale * value for value in true], true)
    assert found["pearson"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("pearson", "useless"), [(0.01, False), (0.0, True), (-0.3, True), (math.nan, True)])
def test_numbers_that_do_not_rise_with_the_true_ones_are_guesses(pearson: float, useless: bool) -> None:
    split = TASK.encode(table(pa.array([1.0, 2.0])), word_pieces("a film play"), 16)
    told = TASK.useless(pearson, split)
    assert (told is not None) is useless
    assert "class" not in str(told)
    assert TASK.majority_share(split) is None


def test_a_teacher_passes_on_its_number() -> None:
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.5]])
    loss = TASK.distillation_loss(ModelOutput(logits=student), {"logits": teacher}, {}, temperature=2.0)
    assert float(loss) == pytest.approx((4.0 + 0.25) / 2)


def test_a_tenth_is_held_out_by_lot() -> None:
    rows = table(pa.array(np.arange(100.0)))
    train, held = TASK.hold_out(rows, 0.1, seed=3)
    assert len(held) == 10
    assert sorted([*train, *held]) == list(range(100))
    assert np.array_equal(held, TASK.hold_out(rows, 0.1, seed=3)[1])
    assert not np.array_equal(held, TASK.hold_out(rows, 0.1, seed=4)[1])
    with pytest.raises(DataError, match="Too few rows"):
        TASK.hold_out(rows.slice(0, 4), 0.1, seed=3)
