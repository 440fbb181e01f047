"""Selecting whole units, weights within output rows, and two of every four."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning_core.prunable import Matrix
from pruning_core.selection import kept_counts_local, ranking_keys, select_top
from pruning_core.units import Units


def select_units(ranks: Tensor, units: Units, density: float, *, local: bool) -> Tensor:
    """The units to keep: the highest ranks, until the kept weights are as near to the target as whole units allow.

    The best of each protected family stays, and of every family in local scope, also where the target has not room for
    that many. In global scope each pool of units, such as all heads, has its share.

    Args:
        ranks: [units] what units are ranked by.
        units: their sizes and families.
        density: kept share of the weights.
        local: fill each family's share on its own: each ends within one unit of it, and the whole within half a unit.

    Returns:
        [units] bool.
    """
    firsts = torch.zeros(len(units), dtype=torch.bool, device=ranks.device)
    order = torch.arange(len(units), device=ranks.device)
    if local:
        families = [family[ranking_keys(ranks[family]).argsort(descending=True)] for family in units.families]
        for family in families:
            firsts.scatter_(0, family[:1], True)
        order = torch.cat(families)
        ranks = torch.cat([_lacking(units.sizes[family], density) for family in families])
        kept = _filled(ranks, order, units, firsts, density)
    else:
        if units.protected:
            for family in units.families:
                firsts.scatter_(0, family[ranking_keys(ranks[family]).argmax().unsqueeze(0)], True)
        kept = torch.zeros_like(firsts)
        for pool in units.pools:
            kept |= _filled(ranks[pool], pool, units, firsts, density)
    return kept | firsts


def _filled(ranks: Tensor, order: Tensor, units: Units, firsts: Tensor, density: float) -> Tensor:
    """The highest of some units, until their kept weights are as near to their share as whole units allow.

    Args:
        ranks: [some] of the units in `order`.
        order: [some] their numbers.
        units: all of them.
        firsts: [units] bool, those that stay in any case.
        density: kept share of these units' weights.

    Returns:
        [units] bool.
    """
    ranks = ranks.masked_fill(firsts[order], torch.inf)
    order = order[ranking_keys(ranks).argsort(descending=True)]
    sizes = units.sizes[order].double()
    # A unit stays if with it the count is nearer to the target than without.
    stays = sizes.cumsum(0) - sizes / 2 < sizes.sum() * density
    kept = torch.zeros(len(units), dtype=torch.bool, device=ranks.device)
    kept.scatter_(0, order, stays)
    kept.scatter_(0, order[:1], True)
    return kept


def _lacking(sizes: Tensor, density: float) -> Tensor:
    """What a family still lacks of its share when each unit's turn comes, in units: [units], best first, as `sizes`.

    Ranked by it, the units of all families are Hamilton's method: whole units first, then the largest remainders. Each
    family rounded by itself would err the same way wherever families are of one size, and the errors would add up.
    """
    sizes = sizes.double()
    return (sizes.sum() * density - (sizes.cumsum(0) - sizes)) / sizes.max()


def select_in_rows(
    values: Tensor, matrices: Sequence[Matrix], slices: Sequence[slice], density: float, out: Tensor
) -> None:
    """Top share within each output row of each matrix (Wanda's comparison group).

    Each matrix has its share first, none ends empty while there is a weight for each. Its rows keep equally many; what
    does not divide goes to the rows whose next weight is the largest.

    Args:
        values: [n] importance.
        matrices: how each slice is shaped.
        slices: where each matrix lies in `values`.
        density: kept share.
        out: [n] bool, overwritten.
    """
    counts = kept_counts_local([where.stop - where.start for where in slices], density)
    for matrix, where, count in zip(matrices, slices, counts, strict=True):
        outputs, inputs = matrix.shape
        stored = values[where].view(matrix.parameter.shape)
        keys = ranking_keys((stored.T if matrix.transposed else stored).reshape(-1)).view(outputs, inputs)
        ranked = keys.sort(dim=1, descending=True)
        each, spare = divmod(count, outputs)
        keep = torch.full((outputs,), each, device=values.device)
        if spare:
            keep.scatter_(0, torch.topk(ranked.values[:, each], spare).indices, each + 1)
        chosen = ranked.indices.argsort(dim=1) < keep.unsqueeze(1)
        out[where] = (chosen.T if matrix.transposed else chosen).reshape(-1)


def select_two_of_four(
    values: Tensor, matrices: Sequence[Matrix], slices: Sequence[slice], density: float, out: Tensor
) -> None:
    """Keep the two best of every four neighbouring inputs; above half density only in the groups that lose least.

    Args:
        values: [n] importance.
        matrices: how each slice is shaped; the number of inputs must be a multiple of four.
        slices: where each matrix lies in `values`.
        density: kept share, 0.5 to 1.
        out: [n] bool, overwritten.
    """
    best, losses = [], []
    for matrix, where in zip(matrices, slices, strict=True):
        stored = values[where].view(matrix.parameter.shape)
        fours = (stored.T if matrix.transposed else stored).reshape(-1, 4)
        ranks = fours.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        best.append(ranks < 2)
        losses.append(torch.where(ranks < 2, 0.0, fours).sum(dim=1))
    loss = torch.cat(losses)
    cut = torch.empty(len(loss), dtype=torch.bool, device=values.device)
    select_top(-loss, round((1.0 - density) * 2 * len(loss)), cut)
    start = 0
    for matrix, where, keep in zip(matrices, slices, best, strict=True):
        chosen = keep | ~cut[start : start + len(keep)].unsqueeze(1)
        start += len(keep)
        if matrix.transposed:
            inputs, outputs = matrix.parameter.shape
            out[where] = chosen.view(outputs, inputs).T.reshape(-1)
        else:
            out[where] = chosen.view(-1)
