"""Rows held out: exact shares by lot, whole groups as near as they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.tasks.base import DataError
from pruning_core.tasks.holdout import grouped_holdout, random_holdout, stratified_holdout


@settings(deadline=None)
@given(rows=st.integers(6, 500), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_lots_hold_out_the_rounded_share_and_leave_some(rows: int, share: float, seed: int) -> None:
    train, held = random_holdout(rows, share, seed)
    assert len(held) == min(round(share * rows), rows - 1)
    assert sorted([*train, *held]) == list(range(rows))


def test_a_few_rows_of_many_classes_are_held_out_as_a_tenth_of_them_all() -> None:
    """Half a row of each class: which classes give a whole one is by lot."""
    labels = np.repeat(np.arange(77), 5)
    train, held = stratified_holdout(labels, 0.1, seed=0)
    assert len(held) == 38
    assert len(set(labels[held])) == 38
    assert set(labels[train]) == set(range(77))
    assert np.array_equal(held, stratified_holdout(labels, 0.1, seed=0)[1])
    assert set(labels[held]) != set(labels[stratified_holdout(labels, 0.1, seed=1)[1]])


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=30),
    share=st.sampled_from([0.1, 0.29, 0.5, 0.9]),
    seed=st.integers(0, 9),
)
def test_each_class_gives_its_share_rounded_down_or_up(sizes: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    able = sum(size > 1 for size in sizes)
    try:
        train, held = stratified_holdout(labels, share, seed)
    except DataError:
        assert able == 0 or round(share * sum(sizes)) == 0
        return
    assert sorted([*train, *held]) == list(range(len(labels)))
    counts = np.bincount(labels[held], minlength=len(sizes))
    for size, count in zip(sizes, counts.tolist(), strict=True):
        assert abs(count - share * size) < 1 + 1e-9
        assert count < size
    assert len(held) <= round(share * len(labels))
    if min(sizes) > 1 / (1 - share):  # rounding up uses up no class
        assert len(held) == round(share * len(labels))


@settings(deadline=None)
@given(groups=st.lists(st.integers(0, 12), min_size=2, max_size=200), seed=st.integers(0, 9))
def test_groups_stay_together(groups: list[int], seed: int) -> None:
    rows = np.array(groups)
    if len(set(groups)) == 1:
        with pytest.raises(DataError):
            grouped_holdout(rows, 0.1, seed)
        return
    train, held = grouped_holdout(rows, 0.1, seed)
    assert len(train) > 0
    assert len(held) > 0
    assert not set(rows[train]) & set(rows[held])
    assert sorted([*train, *held]) == list(range(len(rows)))


def test_a_giant_group_is_not_held_out_where_a_small_one_would_do() -> None:
    rows = np.array([0] * 90 + [1] * 10)
    for seed in range(10):
        assert grouped_holdout(rows, 0.1, seed)[1].tolist() == list(range(90, 100))
