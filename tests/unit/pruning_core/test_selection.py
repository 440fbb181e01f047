"""Which weights stay, against a brute-force sort: on a CPU, and by the device's way run on CPU tensors."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core import selection
from pruning_core.selection import (
    Diverged,
    Sizes,
    Threshold,
    _select_global_on_device,
    _select_top_on_device,
    kept_count,
    kept_counts_local,
    select_global,
    select_local,
    select_top,
)

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, float("inf"), float("-inf")])
VALUES = st.one_of(
    st.lists(FEW, min_size=1, max_size=60),
    st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=60),
    st.integers(1, 400).map(lambda n: [0.0] * n),
)
Select = Callable[[Tensor, int, Tensor], None]
both_ways = pytest.mark.parametrize("select", [select_top, _select_top_on_device], ids=["cpu", "device"])


def top(values: Tensor, keep: int, select: Select = select_top) -> Tensor:
    mask = torch.zeros(len(values), dtype=torch.bool)
    select(values, keep, mask)
    return mask


def slices_of(sizes: list[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in pairwise(np.cumsum([0, *sizes]).tolist())]


def brute_force(values: Tensor, keep: int, first: int = 0) -> Tensor:
    """Python's sort by value, then by the fixed hash of the index: a multiplication by Knuth's odd constant."""
    listed = values.tolist()
    order = sorted(range(len(listed)), key=lambda i: (-listed[i], (i + first) * 2_654_435_761 % 2**32))
    mask = torch.zeros(len(listed), dtype=torch.bool)
    mask[order[:keep]] = True
    return mask


@given(values=VALUES, data=st.data())
@settings(max_examples=1000, deadline=None)
def test_keeps_exactly_the_largest_whatever_ties(values: list[float], data: st.DataObject) -> None:
    keep = data.draw(st.integers(0, len(values)))
    tensor = torch.tensor(values, dtype=torch.float32)
    expected = brute_force(tensor, keep)
    assert int(expected.sum()) == keep
    assert torch.equal(top(tensor, keep), expected)
    if 0 < keep < len(values):  # the ends are settled before the device is asked
        assert torch.equal(top(tensor, keep, _select_top_on_device), expected)


@given(steps=st.lists(VALUES, min_size=2, max_size=12), data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_expected_of_a_threshold_changes_nothing(steps: list[list[float]], data: st.DataObject) -> None:
    expected = Threshold()
    for values in steps * 2:
        keep = data.draw(st.integers(0, len(values)))
        tensor = torch.tensor(values, dtype=torch.float32)
        mask = torch.zeros(len(values), dtype=torch.bool)
        select_top(tensor, keep, mask, expected)
        assert torch.equal(mask, brute_force(tensor, keep))


@pytest.mark.parametrize("jumps", [False, True])
def test_a_threshold_that_moves_steadily_needs_no_sample(jumps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled: list[int] = []
    by_sample = selection._bracket

    def counted(values: selection._Ranked, keep: int) -> tuple[float, float]:
        sampled.append(keep)
        return by_sample(values, keep)

    monkeypatch.setattr(selection, "_bracket", counted)
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(100_000, generator=generator)
    expected = Threshold()
    mask = torch.zeros(len(values), dtype=torch.bool)
    for step in range(60):
        keep = 60_000 - 1000 * (step - (step > 40))  # stands still once
        values += 0.001 + 0.001 * torch.randn(len(values), generator=generator) + 5.0 * (jumps and step == 30)
        select_top(values, keep, mask, expected)
        assert torch.equal(mask, top(values, keep, _select_top_on_device))
    # Four selections to know how it moves, a surprise now and then; a jump misleads when it comes, and just after.
    assert 3 <= len(sampled) <= (15 if jumps else 12)


@both_ways
@pytest.mark.parametrize("density", [0.97, 0.5, 0.1, 0.03, 1e-6, 1 - 1e-6])
def test_agrees_with_a_sort_where_the_sampled_bracket_is_used(select: Select, density: float) -> None:
    values = torch.randn(1_000_000, generator=torch.Generator().manual_seed(1))
    keep = round(density * len(values))
    expected = torch.zeros(len(values), dtype=torch.bool)
    expected[torch.argsort(values, descending=True, stable=True)[:keep]] = True
    mask = top(values, keep, select)
    assert int(mask.sum()) == keep
    assert values[mask].min() == values[expected].min()
    assert int((mask != expected).sum()) <= 2, "but for a tie at the threshold"


@both_ways
def test_agrees_with_a_sort_where_the_sample_misleads(select: Select) -> None:
    values = torch.zeros(1_000_000)
    values[1::15] = torch.arange(len(values[1::15]), dtype=torch.float32)  # the sample's stride of 15 sees zeros only
    mask = top(values, 1000, select)
    assert values[mask].min() == values.sort(descending=True).values[999]


def test_a_million_ties_are_broken_alike_on_both_ways() -> None:
    values = torch.randint(0, 3, (1_000_000,), generator=torch.Generator().manual_seed(3)).float()
    for keep in (100, 400_000, 999_000):
        assert torch.equal(top(values, keep), top(values, keep, _select_top_on_device))


@both_ways
def test_ties_are_spread_over_the_rows(select: Select) -> None:
    mask = top(torch.zeros(64 * 64), 410, select)
    assert torch.equal(mask, top(torch.zeros(64 * 64), 410, select))
    rows = mask.view(64, 64).sum(dim=1)
    assert int(rows.min()) >= 3
    assert int(rows.max()) <= 10


def test_nan_is_refused() -> None:
    with pytest.raises(Diverged, match="NaN"):
        top(torch.full((8,), torch.nan), 3)


@pytest.mark.parametrize("keep", [-1, 9])
def test_an_impossible_count_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="of 8 weights"):
        top(torch.zeros(8), keep)


# --- several matrices ----------------------------------------------------------------------------------------------


def globally(values: Tensor, slices: list[slice], keep: int) -> Tensor:
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_global(values, slices, keep, out=mask)
    return mask


def brute_force_global(values: Tensor, slices: list[slice], keep: int) -> Tensor:
    """The best of each matrix first, then the best of the rest."""
    mask = torch.zeros(len(values), dtype=torch.bool)
    for where in slices:
        mask[where] = brute_force(values[where], 1, first=where.start)
    rest = torch.where(mask, -torch.inf, values)
    listed = rest.tolist()
    order = sorted(range(len(listed)), key=lambda i: (bool(mask[i]), -listed[i], i * 2_654_435_761 % 2**32))
    mask[order[: keep - len(slices)]] = True
    return mask


FINITE = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0]), st.floats(-1024, 1024, width=32))


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6), data=st.data())
@settings(max_examples=1000, deadline=None)
def test_global_scope_keeps_the_best_of_each_matrix_and_the_largest_of_all_on_both_ways(
    sizes: list[int], data: st.DataObject
) -> None:
    values = torch.tensor(data.draw(st.lists(FINITE, min_size=sum(sizes), max_size=sum(sizes))))
    slices, keep = slices_of(sizes), data.draw(st.integers(1, sum(sizes)))
    mask = globally(values, slices, keep)
    assert int(mask.sum()) == keep
    if keep >= len(sizes):
        assert all(bool(mask[where].any()) for where in slices)
        assert torch.equal(mask, brute_force_global(values, slices, keep))
        on_device = torch.zeros(len(values), dtype=torch.bool)
        _select_global_on_device(values, slices, keep, on_device)
        assert torch.equal(mask, on_device)
    else:
        assert torch.equal(mask, brute_force(values, keep))


@pytest.mark.parametrize("held", [True, False])
def test_no_matrix_ends_empty_among_infinities(*, held: bool) -> None:
    values = torch.tensor([1.0, 2.0, 3.0, *[torch.inf] * 40, 0.0])
    mask = torch.zeros(44, dtype=torch.bool)
    select_global(values if held else Sizes(values), slices_of([3, 40, 1]), 4, out=mask)
    assert int(mask.sum()) == 4
    assert mask[[2, 43]].tolist() == [True, True], "the best of each matrix"
    assert int(mask[3:43].sum()) == 2


def test_global_scope_with_fewer_weights_than_matrices_keeps_the_largest_of_all() -> None:
    mask = globally(torch.tensor([0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 1.0, 2.0]), slices_of([3, 3, 3]), 2)
    assert mask.nonzero().flatten().tolist() == [3, 8], "not the best of a matrix that is all zeros"


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20), density=st.floats(0.001, 0.999))
def test_local_counts_add_up_and_stay_within_one_of_their_share(sizes: list[int], density: float) -> None:
    counts = kept_counts_local(sizes, density)
    assert sum(counts) == kept_count(sum(sizes), density)
    tiny = sum(size * density < 1 for size in sizes)
    if sum(counts) >= len(sizes):
        assert min(counts) >= 1, "no matrix ends empty"
        assert all(-tiny - 1 <= count - size * density <= 1 for count, size in zip(counts, sizes, strict=True))
    if tiny == 0 or sum(counts) < len(sizes):
        assert all(abs(count - size * density) <= 1 for count, size in zip(counts, sizes, strict=True))


def test_large_matrices_pay_for_the_tiny_ones() -> None:
    assert kept_counts_local([4, 4, 4, 1000], 0.1) == [1, 1, 1, 98]
    assert kept_counts_local([4, 4, 4, 4], 0.1) == [1, 1, 0, 0], "not enough for all"


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), density=st.floats(0.001, 0.999), data=st.data())
@settings(max_examples=300, deadline=None)
def test_local_scope_keeps_the_largest_of_each_matrix(sizes: list[int], density: float, data: st.DataObject) -> None:
    values = torch.tensor(data.draw(st.lists(FEW, min_size=sum(sizes), max_size=sum(sizes))))
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_local(values, slices_of(sizes), density, out=mask)
    for where, keep in zip(slices_of(sizes), kept_counts_local(sizes, density), strict=True):
        assert torch.equal(mask[where], brute_force(values[where], keep))


@given(total=st.integers(1, 10**9), density=st.floats(1e-9, 1.0))
def test_a_density_never_keeps_nothing(total: int, density: float) -> None:
    assert 1 <= kept_count(total, density) <= total
    assert abs(kept_count(total, density) - total * density) <= 1
