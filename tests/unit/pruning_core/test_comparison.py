"""Intervals against formulas and resampling written out here, and verdicts that claim no more than was measured."""

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from pruning_core.columns import QuestionAnswering, Regression, TextClassification
from pruning_core.comparison import LEAST_RESAMPLED, Difference, bounds_of, difference, paired_bounds
from pruning_core.tasks.base import RowScores
from pruning_core.tasks.question_answering import AnswerQuestions
from pruning_core.tasks.regression import RateTexts
from pruning_core.tasks.text_classification import ClassifyTexts
from pruning_core.verdict import verdict

CLASSES = ClassifyTexts(TextClassification(text="text", label="label"), ["no", "yes"])
ANSWERS = AnswerQuestions(QuestionAnswering(), [])
NUMBERS = RateTexts(Regression(text="text", label="label"), [])


def right(values: NDArray[np.bool_]) -> RowScores:
    scores = values.astype(np.float64)
    return RowScores(np.stack([scores, np.ones(len(scores))], axis=1), scores)


def pairs(both: int, lost: int, won: int, neither: int) -> tuple[RowScores, RowScores]:
    dense = np.repeat([True, True, False, False], [both, lost, won, neither])
    pruned = np.repeat([True, False, True, False], [both, lost, won, neither])
    return right(dense), right(pruned)


@pytest.mark.parametrize(("successes", "rows"), [(0, 10), (7, 10), (10, 10), (430, 500)])
def test_the_interval_of_an_accuracy_is_wilsons(successes: int, rows: int) -> None:
    """Wilson 1927: (p̂ + z²/2n ± z √(p̂q̂/n + z²/4n²)) / (1 + z²/n)."""
    z, p = 1.959963984540054, successes / rows
    reach = z * math.sqrt(p * (1 - p) / rows + z * z / (4 * rows * rows))
    expected = [(p + z * z / (2 * rows) + sign * reach) / (1 + z * z / rows) for sign in (-1, 1)]
    assert bounds_of(CLASSES, right(np.arange(rows) < successes)) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_counts_the_rows_that_only_one_has_right() -> None:
    """Twice the binomial tail of 3 or fewer of 15 coins."""
    found = difference(CLASSES, *pairs(100, 12, 3, 20))
    assert found is not None
    tail = sum(math.comb(15, k) for k in range(4)) / 2**15
    assert found.p_value == pytest.approx(2 * tail)
    assert found.value == pytest.approx(-9 / 135)


@pytest.mark.parametrize("counts", [(300, 60, 30, 110), (800, 20, 20, 160)])
def test_the_interval_of_a_difference_is_that_of_resampled_pairs(counts: tuple[int, int, int, int]) -> None:
    dense, pruned = pairs(*counts)
    chosen = np.random.default_rng(3).integers(0, len(dense), (4000, len(dense)))
    expected = np.quantile((pruned.scores - dense.scores)[chosen].mean(axis=1), [0.025, 0.975])
    found = difference(CLASSES, dense, pruned)
    assert found is not None
    assert found.bounds == pytest.approx(tuple(expected), abs=0.004)


def test_models_that_never_differ_may_still_differ_elsewhere() -> None:
    low, high = paired_bounds(0, 0, 50)
    assert -0.05 < low < 0 < high < 0.05
    wide, narrow = (paired_bounds(0, 0, rows)[1] for rows in (10, 1000))
    assert wide > narrow


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """2,000 splits of 150 rows from cells of known chance: 95 % of the intervals hold the true difference."""
    chance = np.array([0.75, 0.10, 0.05, 0.10])
    drawn = np.random.default_rng(1).multinomial(150, chance, 2000)
    held = [low <= -0.05 <= high for low, high in (paired_bounds(int(d[1]), int(d[2]), 150) for d in drawn)]
    assert 0.93 < np.mean(held) < 0.98


def test_a_mean_over_rows_is_bootstrapped_with_its_pairs() -> None:
    generator = np.random.default_rng(5)
    base = generator.uniform(0, 100, 800)
    dense, pruned = (
        RowScores(np.stack([score, np.ones(800)], axis=1), score)
        for score in (base, np.clip(base - 2 + generator.normal(0, 3, 800), 0, 100))
    )
    found = difference(ANSWERS, dense, pruned)
    assert found is not None
    gaps = pruned.scores - dense.scores
    reach = 1.96 * gaps.std() / math.sqrt(800)
    assert found.bounds == pytest.approx((gaps.mean() - reach, gaps.mean() + reach), abs=0.03)
    alone = bounds_of(ANSWERS, dense)
    assert alone is not None
    assert alone[1] - alone[0] > 5 * (found.bounds[1] - found.bounds[0]), "pairs cancel what rows have in common"


def test_a_correlation_from_sums_is_numpys() -> None:
    x = np.random.default_rng(2).normal(size=(300, 1))
    y = 0.6 * x + 0.8 * np.random.default_rng(3).normal(size=(300, 1))
    terms = np.concatenate([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    assert float(NUMBERS.metric_of(terms.sum(axis=0))) == pytest.approx(np.corrcoef(x.T, y.T)[0, 1])
    bounds = bounds_of(NUMBERS, RowScores(terms, np.zeros(300)))
    assert bounds is not None
    fisher = [math.tanh(math.atanh(np.corrcoef(x.T, y.T)[0, 1]) + sign * 1.96 / math.sqrt(297)) for sign in (-1, 1)]
    assert bounds == pytest.approx(fisher, abs=0.03)


def test_one_row_says_nothing() -> None:
    one = RowScores(np.array([[50.0, 1.0]]), np.array([50.0]))
    assert bounds_of(ANSWERS, one) is None
    assert difference(ANSWERS, one, one) is None


@pytest.mark.parametrize(
    ("against", "kind", "words"),
    [
        (Difference(-0.004, (-0.012, 0.004), 0.4), "no_measurable_loss", "No measurable loss: accuracy 86.0 at"),
        (Difference(-0.032, (-0.045, -0.019), 0.0), "loss", "Loses 3.2 points (95 % interval 1.9 to 4.5)"),
        (Difference(0.02, (0.005, 0.035), 0.01), "gain", "Gains 2.0 points (95 % interval 0.5 to 3.5)"),
        (Difference(-0.02, (-0.11, 0.07), 0.8), "too_small", "too small to tell"),
        (None, "too_small", "too small to tell"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_the_interval_says(against: Difference | None, kind: str, words: str) -> None:
    dense = 0.86 - against.value if against else 0.864
    found = verdict(
        CLASSES, density=0.1, pruned=0.86, bounds=(0.8, 0.9), dense=dense, against=against, rows=500, useless=None
    )
    assert found[0] == kind
    assert words in found[1]


@pytest.mark.parametrize(("dense", "pruned"), [(1441, 1425), (277, 90), (1450, 1434), (700, 900), (1400, 1300)])
def test_the_figures_of_a_verdict_can_be_subtracted(dense: int, pruned: int) -> None:
    """Of 1,500 rows: 96.1 and 95.0 with a difference of 1.0 points would puzzle."""
    change = (pruned - dense) / 1500
    for reach in (0.0001, 0.015):
        _, sentence = verdict(
            CLASSES,
            density=0.1,
            pruned=pruned / 1500,
            bounds=None,
            dense=dense / 1500,
            against=Difference(change, (change - reach, change + reach), 0.5),
            rows=1500,
            useless=None,
        )
        told = re.search(r"(Loses|Gains|difference is) ([-+]?[\d.]+)", sentence)
        shown = re.search(r"accuracy ([\d.]+) at a density of 10.0%, the dense model's ([\d.]+)", sentence)
        assert told is not None
        assert shown is not None
        points = float(told[2]) * (-1 if told[1] == "Loses" else 1)
        assert points == pytest.approx(float(shown[1]) - float(shown[2]))
        assert "-0.0 " not in sentence


def test_a_difference_too_small_to_show_is_said_to_be_that() -> None:
    against = Difference(-0.0002, (-0.0003, -0.0001), 0.01)
    _, sentence = verdict(
        CLASSES, density=0.1, pruned=0.9, bounds=None, dense=0.9002, against=against, rows=90_000, useless=None
    )
    assert sentence.startswith("Loses less than 0.1 points")


def test_a_few_rows_prove_nothing_where_rows_are_resampled() -> None:
    """Two numbers always correlate, whichever of them are drawn."""
    terms = np.array([[1.0, x, y, x * x, y * y, x * y] for x, y in ((1.0, 2.0), (3.0, 5.0))])
    few = RowScores(terms, np.zeros(2))
    assert bounds_of(NUMBERS, few) is None
    assert difference(NUMBERS, few, few) is None
    several = RowScores(np.tile(terms, (LEAST_RESAMPLED // 2, 1)), np.zeros(LEAST_RESAMPLED))
    assert bounds_of(NUMBERS, several) is not None


def test_the_verdict_of_a_model_alone_or_a_useless_one() -> None:
    alone = verdict(
        ANSWERS, density=0.1, pruned=81.7, bounds=(80.0, 83.4), dense=None, against=None, rows=900, useless=None
    )
    assert alone[0] == "no_baseline"
    assert "f1 is 81.7 (95 % interval 80.0 to 83.4)" in alone[1]
    guess = verdict(
        CLASSES, density=0.1, pruned=0.5, bounds=None, dense=0.9, against=None, rows=9, useless="It only guesses."
    )
    assert guess == ("useless", "It only guesses.")
