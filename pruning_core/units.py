"""Units of several weights that stay or go together: rows, columns, blocks, heads, layers; and 2:4 groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.granularity import Block, Granularity, kind_of
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
        families: the units of each matrix (or of each layer's heads), which compete in local scope.
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
        if kind == "head":
            self._maps, families = _heads(weights.matrices)
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
        rows, columns = matrix.parameter.shape
        along_rows = (heads.axis == "out") != matrix.transposed
        lengthwise = rows if along_rows else columns
        groups = torch.arange(lengthwise) % (lengthwise // heads.fused) // heads.size
        none = torch.zeros(columns if along_rows else rows, dtype=torch.long)
        first = first_of[matrix.layer]
        maps.append(
            _Map(first, groups, none, heads.count, 1) if along_rows else _Map(first, none, groups, 1, heads.count)
        )
    return maps, families


def _layers(matrices: Sequence[Matrix]) -> tuple[list[_Map], list[int]]:
    numbers = sorted({matrix.layer for matrix in matrices if matrix.layer is not None})
    if len(numbers) < 2 or any(matrix.layer is None for matrix in matrices):
        raise NothingToPrune(
            "The model has no several layers to choose from (ALBERT's share their weights): use another "
            "pruning.granularity."
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
