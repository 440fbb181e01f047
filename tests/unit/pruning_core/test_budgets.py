"""Per-matrix budgets, against water-filling in plain Python."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.budgets import _select_counts_on_device, budgets, select_with_budgets
from tests.unit.pruning_core.test_selection import brute_force, slices_of


def water_filled(appeal: list[float], sizes: list[int], keep: int) -> list[float]:
    """Shares min(max(1, t·appeal), size) whose sum is `keep`; t found by halving."""
    low, high = 0.0, max(sizes) / min(appeal)
    for _ in range(200):
        t = (low + high) / 2
        shares = [min(max(1.0, t * a), size) for a, size in zip(appeal, sizes, strict=True)]
        low, high = (t, high) if sum(shares) < keep else (low, t)
    return shares


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(sizes=SIZES, data=st.data())
@settings(max_examples=300, deadline=None)
def test_budgets_are_the_exact_total_capped_at_least_one_and_in_proportion(
    sizes: list[int], data: st.DataObject
) -> None:
    keep = data.draw(st.integers(len(sizes), sum(sizes)))
    scores = torch.tensor(data.draw(st.lists(st.floats(-8, 8, width=32), min_size=sum(sizes), max_size=sum(sizes))))
    counts = budgets(scores, slices_of(sizes), keep).tolist()
    assert sum(counts) == keep
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))
    appeal = [sum(1 / (1 + math.exp(-s)) for s in scores[where].tolist()) for where in slices_of(sizes)]
    shares = water_filled(appeal, sizes, keep)
    assert all(abs(count - share) < 1 + 1e-4 for count, share in zip(counts, shares, strict=True))


def test_a_matrix_of_higher_scores_keeps_more_and_a_full_one_passes_its_surplus_on() -> None:
    scores = torch.cat([torch.full((10,), 9.0), torch.full((100,), 0.0), torch.full((100,), -1.0986123)])
    # appeals 10, 50 and 25; the first is full with 10 of its 7.06 at keep 60, and with 10 of its 10.6 at keep 90
    assert budgets(scores, slices_of([10, 100, 100]), 60).tolist() == [7, 35, 18]
    assert budgets(scores, slices_of([10, 100, 100]), 90).tolist() == [10, 53, 27]


@pytest.mark.parametrize("score", [-200.0, -30.0, 0.0, 200.0])
def test_the_total_is_exact_however_extreme_the_scores(score: float) -> None:
    counts = budgets(torch.full((4096,), score), slices_of([1024, 1024, 2048]), 410)
    assert int(counts.sum()) == 410
    if score > -100:  # beyond, fp32 knows no σ(S)
        assert all(abs(count - share) <= 1 for count, share in zip(counts.tolist(), (102.5, 102.5, 205), strict=True))


def test_fewer_weights_than_matrices_are_still_the_exact_total() -> None:
    counts = budgets(torch.tensor([0.0, 0.0, 2.0, 2.0, 1.0, 1.0]), slices_of([2, 2, 2]), 2)
    assert counts.tolist() == [0, 1, 1]


@given(sizes=SIZES, density=st.floats(0.01, 0.99), data=st.data())
@settings(max_examples=200, deadline=None)
def test_each_matrix_keeps_its_best_on_both_ways(sizes: list[int], density: float, data: st.DataObject) -> None:
    few = st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.5])
    scores = torch.tensor(data.draw(st.lists(few, min_size=sum(sizes), max_size=sum(sizes))))
    keep = max(1, round(sum(sizes) * density))
    counts = budgets(scores, slices_of(sizes), keep)
    mask, on_device = torch.zeros(2, len(scores), dtype=torch.bool)
    select_with_budgets(scores, slices_of(sizes), keep / sum(sizes), mask)
    _select_counts_on_device(scores, slices_of(sizes), counts, on_device)
    assert torch.equal(mask, on_device)
    for where, count in zip(slices_of(sizes), counts.tolist(), strict=True):
        assert torch.equal(mask[where], brute_force(scores[where], count))
