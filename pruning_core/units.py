"""Units of several weights that stay or go together: rows, columns, blocks, heads, neurons, layers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pruning_core.granularity import HYBRID_BLOCK, MIXED, Block, Granularity, kind_of
from pruning_core.masking import MaskedWeights
from pruning_core.prunable import Matrix, NothingToPrune


@dataclass(frozen=True)
class _Map:
    """How one matrix, as stored, is cut: weight (i, j) belongs to unit `first + rows[i] * column_groups + columns[j]`.

    Attributes:
        first: number of the matrix's first unit.
        rows: [r] group of each row.
        columns: [c] group of each column.
        row_groups: how many groups of rows.
        column_groups: how many groups of columns.
    """

    first: int
    rows: Tensor
    columns: Tensor
    row_groups: int
    column_groups: int


class Units:
    """A partition of the prunable weights.

    Attributes:
        granularity: what a unit is.
        sizes: [units] weights of each that may be kept.
        families: the units of each matrix (or of each layer's heads, or neurons), which compete in local scope.
        pools: the units that compete in global scope: all, but where there are two kinds, each kind.
        protected: whether one unit of each family stays whatever its rank.
    """

    def __init__(self, granularity: Granularity, weights: MaskedWeights) -> None:
        """Cut the matrices.

        Raises:
            NothingToPrune: the model has no such units, or too few to remove any.
        """
        self.granularity = granularity
        self._weights = weights
        kind = kind_of(granularity)
        attention = 0
        if kind == "head":
            self._maps, families = _heads(weights.matrices)
        elif kind in MIXED:
            self._maps, families, attention = _mixed(weights.matrices, kind)
        elif kind == "layer":
            self._maps, families = _layers(weights.matrices)
        else:
            self._maps, families = _within_matrices(weights.matrices, granularity)
        device = weights.device
        self._maps = [
            _Map(m.first, m.rows.to(device), m.columns.to(device), m.row_groups, m.column_groups) for m in self._maps
        ]
        numbers = torch.tensor(families)
        self.families = [torch.nonzero(numbers == number).squeeze(1).to(device) for number in sorted(set(families))]
        self._count = len(families)
        order = torch.arange(self._count, device=device)
        self.pools = [pool for pool in (order[:attention], order[attention:]) if len(pool)]
        self.protected = kind != "layer"
        self.sizes = self.sum(self._open(torch.ones(len(weights), device=device))).round()

    def __len__(self) -> int:
        """Number of units."""
        return self._count

    def sum(self, values: Tensor) -> Tensor:
        """Sum over each unit: [n] → [units].

        Products with 0/1 matrices instead of scattered additions: the same result every time, on a GPU too.
        """
        total = torch.zeros(len(self), dtype=values.dtype, device=values.device)
        for m, where in zip(self._maps, self._weights.slices, strict=True):
            cells = values[where].view(len(m.rows), len(m.columns))
            cells = _gathered(_gathered(cells, m.columns, m.column_groups).T, m.rows, m.row_groups).T
            total[m.first : m.first + cells.numel()] += cells.reshape(-1)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """Mean over what may be kept of each unit: [n] → [units]; units of which nothing is left come after all."""
        means = self.sum(self._open(values)) / self.sizes.clamp(min=1.0)
        return means if self._weights.closed is None else means.masked_fill(self.sizes == 0, -torch.inf)

    def _open(self, values: Tensor) -> Tensor:
        closed = self._weights.closed
        return values if closed is None else values.masked_fill(closed, 0.0)

    def spread(self, chosen: Tensor, out: Tensor) -> None:
        """Give each weight its unit's choice, zeros that stay excepted: [units] → [n] bool, written to `out`."""
        for m, where in zip(self._maps, self._weights.slices, strict=True):
            cells = chosen[m.first : m.first + m.row_groups * m.column_groups].view(m.row_groups, m.column_groups)
            out[where] = cells[m.rows][:, m.columns].reshape(-1)
        if self._weights.closed is not None:
            out.masked_fill_(self._weights.closed, False)


def _gathered(cells: Tensor, groups: Tensor, count: int) -> Tensor:
    """Add up the columns of each group: [r, c] → [r, count]."""
    if count == 1:
        return cells.sum(dim=1, keepdim=True)
    if count == cells.shape[1]:  # every column its own group, in order
        return cells
    return cells @ torch.nn.functional.one_hot(groups, count).to(cells.dtype)


def _within_matrices(matrices: Sequence[Matrix], granularity: Granularity) -> tuple[list[_Map], list[int]]:
    maps: list[_Map] = []
    families: list[int] = []
    for number, matrix in enumerate(matrices):
        rows, columns = matrix.parameter.shape
        # `row` is an output neuron and `column` an input; Conv1D stores [in, out].
        if isinstance(granularity, Block):
            height, width = granularity.block[::-1] if matrix.transposed else granularity.block
        elif (granularity == "row") != matrix.transposed:
            height, width = 1, columns
        else:
            height, width = rows, 1
        by_row, by_column = torch.arange(rows) // height, torch.arange(columns) // width
        one = _Map(len(families), by_row, by_column, int(by_row[-1]) + 1, int(by_column[-1]) + 1)
        maps.append(one)
        families += [number] * (one.row_groups * one.column_groups)
    return maps, families


def _heads(matrices: Sequence[Matrix]) -> tuple[list[_Map], list[int]]:
    """One unit per head: its rows of Q, K and V and its columns of the output projection."""
    maps: list[_Map] = []
    families: list[int] = []
    first_of: dict[int | None, int] = {}
    for matrix in matrices:
        heads = matrix.heads
        if heads is None:
            raise NothingToPrune(
                f"Matrix {matrix.name!r} has no attention heads. Leave out pruning.modules, or let it select "
                "attention matrices only."
            )
        if matrix.layer not in first_of:
            first_of[matrix.layer] = len(families)
            families += [len(first_of)] * heads.count
        along_rows = (heads.axis == "out") != matrix.transposed
        lengthwise = matrix.parameter.shape[0 if along_rows else 1]
        groups = torch.arange(lengthwise) % (lengthwise // heads.fused) // heads.size
        maps.append(_lengthwise(matrix, first_of[matrix.layer], groups, heads.count, along_rows=along_rows))
    return maps, families


def _neurons(matrices: Sequence[Matrix]) -> tuple[list[_Map], list[int]]:
    """One unit per neuron of the feed-forward: its row of the first map and its column of the second."""
    maps: list[_Map] = []
    families: list[int] = []
    first_of: dict[int | None, int] = {}
    for matrix in matrices:
        if matrix.neurons is None:
            raise NothingToPrune(
                f"It is not known where the neurons or heads of matrix {matrix.name!r} are: use another "
                "pruning.granularity."
            )
        along_rows = (matrix.neurons == "out") != matrix.transposed
        count = matrix.parameter.shape[0 if along_rows else 1]
        if matrix.layer not in first_of:
            first_of[matrix.layer] = len(families)
            families += [len(first_of)] * count
        maps.append(_lengthwise(matrix, first_of[matrix.layer], torch.arange(count), count, along_rows=along_rows))
    return maps, families


def _lengthwise(matrix: Matrix, first: int, groups: Tensor, count: int, *, along_rows: bool) -> _Map:
    """A matrix that is cut along one of its sides.

    Args:
        matrix: to be cut.
        first: number of its first unit.
        groups: [rows or columns] unit of each, from 0.
        count: how many units.
        along_rows: rows are what is divided, as they are stored.
    """
    rows, columns = matrix.parameter.shape
    none = torch.zeros(columns if along_rows else rows, dtype=torch.long)
    return _Map(first, groups, none, count, 1) if along_rows else _Map(first, none, groups, 1, count)


def _mixed(matrices: Sequence[Matrix], kind: str) -> tuple[list[_Map], list[int], int]:
    """Heads, or blocks, of the attention first, then the feed-forward's neurons; and how many units come first."""
    attention = [matrix for matrix in matrices if matrix.heads is not None]
    others = [matrix for matrix in matrices if matrix.heads is None]
    maps, families = _within_matrices(attention, HYBRID_BLOCK) if kind == "hybrid" else _heads(attention)
    first, shift = len(families), len(set(families))
    more, theirs = _neurons(others)
    of_matrix = dict(zip([m.name for m in attention], maps, strict=True)) | {
        matrix.name: replace(each, first=each.first + first) for matrix, each in zip(others, more, strict=True)
    }
    return [of_matrix[matrix.name] for matrix in matrices], families + [f + shift + 1 for f in theirs], first


def _layers(matrices: Sequence[Matrix]) -> tuple[list[_Map], list[int]]:
    numbers = sorted({matrix.layer for matrix in matrices if matrix.layer is not None})
    if len(numbers) < 2 or any(matrix.layer is None for matrix in matrices):
        raise NothingToPrune(
            "There are no several layers to choose from (ALBERT's share their weights, and pruning.modules may select "
            "matrices of one alone): use another pruning.granularity."
        )
    maps = [
        _Map(
            numbers.index(matrix.layer),
            torch.zeros(matrix.parameter.shape[0], dtype=torch.long),
            torch.zeros(matrix.parameter.shape[1], dtype=torch.long),
            1,
            1,
        )
        for matrix in matrices
        if matrix.layer is not None
    ]
    return maps, [0] * len(numbers)
