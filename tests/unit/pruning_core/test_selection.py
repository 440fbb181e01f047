"""Selection, against a brute-force sort."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core.selection import kept_count, kept_counts_local, select_global, select_local, select_top

VALUES = st.one_of(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, float("inf"), float("-inf")]), min_size=1, max_size=60),
    st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=60),
)


def top(values: Tensor, keep: int) -> Tensor:
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_top(values, keep, out=mask)
    return mask


@given(values=VALUES, data=st.data())
@settings(max_examples=1000, deadline=None)
def test_keeps_exactly_the_largest(values: list[float], data: st.DataObject) -> None:
    keep = data.draw(st.integers(0, len(values)))
    tensor = torch.tensor(values, dtype=torch.float32)
    mask = top(tensor, keep)
    assert int(mask.sum()) == keep
    assert sorted(tensor[mask].tolist()) == sorted(tensor.tolist())[len(values) - keep :]


@pytest.mark.parametrize("density", [0.97, 0.5, 0.1, 0.03])
def test_agrees_with_a_sort_where_the_sampled_bracket_is_used(density: float) -> None:
    values = torch.randn(1_000_000, generator=torch.Generator().manual_seed(1))
    keep = round(density * len(values))
    expected = torch.zeros(len(values), dtype=torch.bool)
    expected[torch.argsort(values, descending=True)[:keep]] = True
    assert torch.equal(top(values, keep), expected)


def test_agrees_with_a_sort_where_the_sample_misleads() -> None:
    values = torch.zeros(1_000_000)
    values[1::15] = torch.arange(len(values[1::15]), dtype=torch.float32)  # the sample's stride of 15 sees zeros only
    mask = top(values, 1000)
    assert values[mask].min() == values.sort(descending=True).values[999]


def test_ties_are_broken_the_same_way_every_time_and_spread_over_the_rows() -> None:
    mask = top(torch.zeros(64 * 64), 410)
    assert torch.equal(mask, top(torch.zeros(64 * 64), 410))
    rows = mask.view(64, 64).sum(dim=1)
    assert int(rows.min()) >= 3
    assert int(rows.max()) <= 10


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top(torch.full((8,), torch.nan), 3)


@pytest.mark.parametrize("keep", [-1, 9])
def test_an_impossible_count_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="of 8 weights"):
        top(torch.zeros(8), keep)


def test_global_scope_leaves_no_matrix_empty() -> None:
    values = torch.cat([torch.full((100,), 5.0), torch.rand(100)])
    mask = torch.zeros(200, dtype=torch.bool)
    select_global(values, [(0, 100), (100, 200)], keep=20, out=mask)
    assert int(mask.sum()) == 20
    assert int(mask[100:].sum()) == 1
    assert bool(mask[100 + int(values[100:].argmax())])


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20), density=st.floats(0.001, 0.999))
def test_local_counts_add_up_and_stay_within_one_of_their_share(sizes: list[int], density: float) -> None:
    counts = kept_counts_local(sizes, density)
    assert sum(counts) == kept_count(sum(sizes), density)
    assert all(abs(count - size * density) <= 1 for count, size in zip(counts, sizes, strict=True))


def test_local_scope_keeps_the_largest_of_each_matrix() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=300).astype(np.float32))
    mask = torch.zeros(300, dtype=torch.bool)
    select_local(values, [(0, 100), (100, 300)], density=0.25, out=mask)
    assert torch.equal(mask[:100], top(values[:100], 25))
    assert torch.equal(mask[100:], top(values[100:], 50))
