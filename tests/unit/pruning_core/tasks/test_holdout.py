"""Rows held out: exact shares by lot, whole groups as near as they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.tasks.base import DataError
from pruning_core.tasks.holdout import grouped_holdout, random_holdout


@settings(deadline=None)
@given(rows=st.integers(6, 500), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_lots_hold_out_the_rounded_share_and_leave_some(rows: int, share: float, seed: int) -> None:
    train, held = random_holdout(rows, share, seed)
    assert len(held) == min(round(share * rows), rows - 1)
    assert sorted([*train, *held]) == list(range(rows))


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
