"""Selection within output rows and within groups of four, against loops in plain Python."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.grouped import select_in_rows, select_two_of_four
from pruning_core.prunable import Matrix
from pruning_core.selection import kept_counts_local
from tests.unit.pruning_core.test_selection import slices_of

FEW = st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, 1e-30])


def matrices_of(shapes: list[tuple[int, int]], transposed: bool) -> list[Matrix]:
    """Maps of these (out, in), as `nn.Linear` or as GPT-2's `Conv1D` stores them."""
    return [
        Matrix(str(number), nn.Parameter(torch.zeros(shape[::-1] if transposed else shape)), transposed)
        for number, shape in enumerate(shapes)
    ]


def maps_in(flat: Tensor, matrices: list[Matrix]) -> Iterator[Tensor]:
    """The [out, in] linear maps in a flat tensor, however they are stored."""
    start = 0
    for matrix in matrices:
        stored = flat[start : start + matrix.parameter.numel()].view(matrix.parameter.shape)
        start += matrix.parameter.numel()
        yield stored.T if matrix.transposed else stored


def sizes(matrices: list[Matrix]) -> list[int]:
    return [matrix.parameter.numel() for matrix in matrices]


@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=3),
    transposed=st.booleans(),
    density=st.floats(0.01, 0.99),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_every_output_row_keeps_its_largest_and_its_share(
    shapes: list[tuple[int, int]], transposed: bool, density: float, data: st.DataObject
) -> None:
    matrices = matrices_of(shapes, transposed)
    total = sum(sizes(matrices))
    values = torch.tensor(data.draw(st.lists(FEW, min_size=total, max_size=total)))
    mask = torch.zeros(total, dtype=torch.bool)
    select_in_rows(values, matrices, slices_of(sizes(matrices)), density, mask)
    assert int(mask.sum()) == max(1, round(total * density))
    # Large matrices may pay for those whose share is less than one weight.
    tiny = sum(size * density < 1 for size in sizes(matrices))
    for map_of_values, map_of_mask in zip(maps_in(values, matrices), maps_in(mask, matrices), strict=True):
        for row, kept in zip(map_of_values, map_of_mask, strict=True):
            count = int(kept.sum())
            assert -tiny - 1 - 1e-6 < count - len(row) * density < 1 + 1e-6 or total * density < 1
            assert sorted(row[kept].tolist()) == sorted(row.tolist())[len(row) - count :]


@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=8),
    transposed=st.booleans(),
    density=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_every_matrix_has_its_share_whatever_its_rows_are(
    shapes: list[tuple[int, int]], transposed: bool, density: float, seed: int
) -> None:
    matrices = matrices_of(shapes, transposed)
    values = torch.rand(sum(sizes(matrices)), generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_in_rows(values, matrices, slices_of(sizes(matrices)), density, mask)
    kept = [int(one.sum()) for one in maps_in(mask, matrices)]
    assert kept == kept_counts_local(sizes(matrices), density)
    for map_of_values, map_of_mask in zip(maps_in(values, matrices), maps_in(mask, matrices), strict=True):
        rows = map_of_mask.sum(dim=1)
        assert int(rows.max() - rows.min()) <= 1
        if int(rows.max()) == 1:  # the rows that keep the matrix's few weights are those with the best ones
            best = map_of_values.max(dim=1).values
            assert min(best[rows == 1].tolist()) >= max(best[rows == 0].tolist(), default=0.0)


def test_at_an_extreme_sparsity_no_matrix_ends_empty() -> None:
    """Six layers of hidden size 192 at 0.998: fewer weights than rows, and the spare ones went to the first layers."""
    matrices = matrices_of([(192, 192)] * 4 * 6 + [(768, 192), (192, 768)] * 6, transposed=False)
    values = torch.rand(sum(sizes(matrices)), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_in_rows(values, matrices, slices_of(sizes(matrices)), 0.002, mask)
    assert int(mask.sum()) == round(0.002 * len(values))
    for one in maps_in(mask, matrices):
        assert abs(int(one.sum()) - 0.002 * one.numel()) < 1


def test_tied_rows_share_the_spare_weights_all_over_the_matrix() -> None:
    matrices = matrices_of([(256, 64)], transposed=False)
    mask = torch.zeros(256 * 64, dtype=torch.bool)
    select_in_rows(torch.ones(256 * 64), matrices, [slice(0, 256 * 64)], 64 / (256 * 64), mask)
    rows = mask.view(256, 64).any(dim=1).view(4, 64).sum(dim=1)
    assert rows.min() >= 8


@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.sampled_from([4, 8, 12])), min_size=1, max_size=3),
    transposed=st.booleans(),
    density=st.floats(0.5, 1.0),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_groups_of_four_inputs_keep_all_or_their_two_best_and_those_that_lose_least_go_first(
    shapes: list[tuple[int, int]], transposed: bool, density: float, data: st.DataObject
) -> None:
    matrices = matrices_of(shapes, transposed)
    total = sum(sizes(matrices))
    values = torch.tensor(data.draw(st.lists(FEW, min_size=total, max_size=total)))
    mask = torch.zeros(total, dtype=torch.bool)
    select_two_of_four(values, matrices, slices_of(sizes(matrices)), density, mask)
    lost_where_cut, lost_where_whole = [], []
    for map_of_values, map_of_mask in zip(maps_in(values, matrices), maps_in(mask, matrices), strict=True):
        for four, kept in zip(map_of_values.reshape(-1, 4), map_of_mask.reshape(-1, 4), strict=True):
            worst = sorted(four.tolist())[:2]
            assert int(kept.sum()) in (2, 4)
            if int(kept.sum()) == 2:
                assert sorted(four[~kept].tolist()) == worst
                lost_where_cut.append(sum(worst))
            else:
                lost_where_whole.append(sum(worst))
    assert len(lost_where_cut) == round((1 - density) * 2 * total / 4)
    if lost_where_cut and lost_where_whole:
        assert max(lost_where_cut) <= min(lost_where_whole) + 1e-6


@pytest.mark.parametrize("transposed", [False, True])
def test_at_half_density_every_group_of_four_inputs_has_exactly_two(transposed: bool) -> None:
    matrices = matrices_of([(6, 8), (3, 16)], transposed)
    values = torch.randn(sum(sizes(matrices)))
    mask = torch.zeros(len(values), dtype=torch.bool)
    select_two_of_four(values, matrices, slices_of(sizes(matrices)), 0.5, mask)
    for map_of_mask in maps_in(mask, matrices):
        assert bool((map_of_mask.reshape(map_of_mask.shape[0], -1, 4).sum(dim=2) == 2).all())
