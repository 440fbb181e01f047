"""Which weights are kept: exact top-k, deterministic where values tie."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core import kernels
from pruning_core.threads import in_parts

#: Knuth's multiplicative constant (2^32 / golden ratio, odd): i ↦ i·c mod 2^32 is a bijection that spreads indices.
_FIBONACCI = 2_654_435_761
_UINT32_MASK = 2**32 - 1
_HIGHEST_KEY = 2**63 - 1
#: Values looked at to bracket the threshold.
_SAMPLE = 65_536
#: Of which a sample's step is no multiple: matrices have 384 columns, or 768, and it is to see them all.
_FACTORS = 2 * 3 * 5 * 7
#: Of so many values one is expected inside a bracket at most; where more are, they are counted first.
_FEW = 16
#: So many times what the threshold was last missed by, of which this share is remembered a step later.
_MARGIN, _REMEMBERED = 4.0, 0.9
_LARGEST = float(np.finfo(np.float32).max)
_DIVERGED = "A value to select from is NaN: the run has diverged. Lower the learning rates."


class Diverged(RuntimeError):
    """Training has left the finite numbers."""


class Sizes(NamedTuple):
    """What is ranked by |W|, or |W| + S, without a tensor that holds it.

    Attributes:
        weight: W, [n] fp32.
        score: S, [n] fp32, or None.
    """

    weight: Tensor
    score: Tensor | None = None

    def write(self, out: Tensor) -> Tensor:
        """Fill `out`, [n], with them; returns it."""
        torch.abs(self.weight, out=out)
        return out if self.score is None else out.add_(self.score)


def written(values: Tensor | Sizes, scratch: Tensor) -> Tensor:
    """[n] values in a tensor; in `scratch`, [n] fp32, where they are in none."""
    return values.write(scratch) if isinstance(values, Sizes) else values


def _held(values: Tensor | Sizes) -> Tensor:
    """[n] values in a tensor, a new one where they are in none."""
    return values.write(torch.empty_like(values.weight)) if isinstance(values, Sizes) else values


class Threshold:
    """Where the threshold between what stays and what goes will lie: in training it moves steadily, and little a step.

    It makes a selection cheaper and never changes it.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._last = self._moved = self._missed = math.nan
        self._widest = math.inf

    def bracket(self) -> list[float]:
        """Two values that are likely to enclose it; none where it has not been seen often enough."""
        if math.isnan(self._missed):
            return []
        expected, margin = self._last + self._moved, _MARGIN * self._missed
        return [min(_LARGEST, max(-_LARGEST, end)) for end in (expected - margin, expected + margin)]

    def lies_at(self, value: float, *, sampled: float | None = None) -> None:
        """Learn where it lies.

        Args:
            value: there.
            sampled: width of the bracket that a sample gave, where it was asked: what is expected is never vaguer.
        """
        if sampled is not None:
            self._widest = sampled
        moved = value - self._last
        missed = abs(moved - self._moved)
        if not math.isnan(self._missed):
            missed = max(missed, _REMEMBERED * self._missed)
        self._last, self._moved, self._missed = value, moved, min(missed, self._widest / (2 * _MARGIN))


def select_top(values: Tensor | Sizes, keep: int, out: Tensor, threshold: Threshold | None = None) -> None:
    """Set `out` to True at exactly `keep` of the largest values, False elsewhere.

    Ties at the threshold are broken by a fixed hash of the index. A comparison with the threshold alone would keep
    none of them, or all; a sort would keep a contiguous block of rows, which is worst at the very first steps, when
    zero-initialised scores all tie.

    Args:
        values: [n] fp32 without NaN; infinities are ordinary values.
        keep: how many to keep, 0 ≤ keep ≤ n.
        out: [n] bool tensor on the same device, overwritten.
        threshold: of the selections before this one, where values change little from one to the next; it learns.

    Raises:
        ValueError: `keep` is out of range.
        Diverged: fewer than `keep` are numbers and not NaN; looked for on a CPU only, where it costs nothing.
    """
    total = len(out)
    if not 0 <= keep <= total:
        raise ValueError(f"Cannot keep {keep} of {total} weights.")
    if keep in (0, total):
        out.fill_(keep == total)
        return
    if out.device.type == "cpu":
        _select_top_on_cpu(_Ranked.of(values), keep, out.numpy(), threshold or Threshold())
        return
    _select_top_on_device(_held(values), keep, out)


def _select_top_on_device(values: Tensor, keep: int, out: Tensor) -> None:
    """The same choice without the host ever waiting for the device: nothing is counted, no index leaves it.

    Value and hash of the index make one integer that no other weight has, so the top `keep` are never ambiguous.
    """
    _select_highest_keys(ranking_keys(values), keep, out)


def _select_highest_keys(keys: Tensor, keep: int, out: Tensor) -> None:
    """Set `out` to True at the `keep` highest of [n] keys, no two of which are equal unless both are kept."""
    total = keys.numel()
    if keep <= total - keep:
        out.fill_(False).scatter_(0, torch.topk(keys, keep, sorted=False).indices, True)
    else:
        out.fill_(True).scatter_(0, torch.topk(keys, total - keep, largest=False, sorted=False).indices, False)


def ranking_keys(values: Tensor, first: int = 0) -> Tensor:
    """[n] int64 keys in the order of the values; where these tie, in the order of a fixed hash of the index.

    Args:
        values: [n] float tensor.
        first: index of the first of them.
    """
    ordered = (values.float() + 0.0).view(torch.int32)  # + 0.0: -0.0 ties with 0.0
    ordered ^= (ordered >> 31).bitwise_and_(0x7FFFFFFF)  # negative floats grow with their bits
    hashed = torch.arange(first, first + len(values), dtype=torch.int32, device=values.device)
    hashed *= _FIBONACCI - 2**32  # the same number modulo 2^32
    # The two words of an int64, the lower one first. Built in 64 bits it takes an accelerator twice as long.
    keys = torch.empty(len(values), 2, dtype=torch.int32, device=values.device)
    keys[:, 1] = ordered
    torch.bitwise_not(hashed, out=keys[:, 0])
    return keys.view(torch.int64).squeeze(1)


@dataclass(frozen=True)
class _Ranked:
    """What is ranked, on a CPU: something of two numbers for each weight.

    Attributes:
        first, second: [n] each.
        compare: all with a bracket, one of `kernels`.
        rank: the same something, of arrays.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    compare: Callable[..., tuple[int, int]]
    rank: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

    @classmethod
    def of(cls, values: Tensor | Sizes) -> Self:
        """How values are compared without writing them out."""
        if not isinstance(values, Sizes):
            numbers = values.detach().float().numpy()
            return cls(numbers, numbers, kernels.compare_values, lambda first, second: first)
        weight = values.weight.detach().numpy()
        if values.score is None:
            return cls(weight, weight, kernels.compare_sizes, lambda first, second: np.abs(first))
        score = values.score.detach().numpy()
        return cls(weight, score, kernels.compare_sizes_and_scores, lambda first, second: np.abs(first) + second)

    def __len__(self) -> int:
        return len(self.first)

    def every(self, step: int) -> NDArray[np.float32]:
        """The rank of each so manieth."""
        return self.rank(self.first[::step], self.second[::step])


def _select_top_on_cpu(values: _Ranked, keep: int, out: NDArray[np.bool_], expected: Threshold) -> None:
    """Floyd & Rivest 1975: bracket the threshold, then select exactly among the few values inside.

    One pass over all values and one partition of those inside, about 1 % by a sample and a tenth of that where the
    threshold is expected: a fifth of the time of `numpy.partition` over everything (`make bench-selection`). The
    answer is exact whatever the bracket: where it misses the threshold the next one is wider, and in the end
    everything is inside.
    """
    bracket = expected.bracket()
    sampled = not bracket
    low, high = bracket or _bracket(values, keep)
    while True:
        above, inside, near = _compare(values, low, high, out)
        missing = keep - above
        if 0 <= missing <= len(inside):
            break
        if low == -math.inf and high == math.inf:
            raise Diverged(_DIVERGED)
        low, high = (-math.inf, math.inf) if sampled else _bracket(values, keep)
        sampled = True
    threshold = high
    if missing:
        threshold = float(np.partition(near, len(near) - missing)[len(near) - missing])
        larger = inside[near > threshold]
        out[larger] = True
        out[_spread(inside[near == threshold], missing - len(larger))] = True
    expected.lies_at(threshold, sampled=high - low if sampled and high - low < math.inf else None)


def _compare(
    values: _Ranked, low: float, high: float, out: NDArray[np.bool_]
) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
    """Write which values lie above a bracket; return how many do, and of those inside it the indices and the values."""

    def compare(part: slice) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
        first, second, above = values.first[part], values.second[part], out[part]
        room = len(first) // _FEW
        while True:
            inside, near = np.empty(room, np.int64), np.empty(room, np.float32)
            higher, found = values.compare(first, second, np.float32(low), np.float32(high), above, inside, near)
            if found <= room:
                return higher, inside[:found] + part.start, near[:found]
            room = found

    above, inside, near = zip(*in_parts(len(values), compare), strict=True)
    return sum(above), np.concatenate(inside), np.concatenate(near)


def _bracket(values: _Ranked, keep: int) -> tuple[float, float]:
    """Two values that very likely enclose the `keep`-th largest: four standard deviations around it in a sample."""
    step = max(1, len(values) // _SAMPLE)
    while math.gcd(step, _FACTORS) > 1:
        step += 1
    sample = values.every(step)
    share = keep / len(values)
    position = len(sample) * (1 - share)
    margin = 4 * math.sqrt(len(sample) * share * (1 - share)) + 4
    low, high = (min(len(sample) - 1, max(0, int(position + way * margin))) for way in (-1, 1))
    sample = np.partition(sample, (low, high))
    return float(sample[low]), float(sample[high])


def _spread(tied: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of the tied indices, those of smallest hash."""
    if count == len(tied):
        return tied
    order = np.argpartition((tied * _FIBONACCI) & _UINT32_MASK, count)
    return tied[order[:count]]


def kept_count(total: int, density: float) -> int:
    """How many of `total` weights a density keeps: the nearest whole number, never zero."""
    return max(1, round(total * density))


def kept_counts_local(sizes: Sequence[int], density: float) -> list[int]:
    """Per-matrix counts for local scope: each within one of its share, together exactly `kept_count` of the sum.

    Largest remainders are rounded up first (Hamilton's method). None is left empty while there is one weight for each:
    what a tiny matrix is given beyond its share, those pay that stand highest above theirs, each as often as need be.
    """
    keep = kept_count(sum(sizes), density)
    shares = [size * density for size in sizes]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: keep - sum(counts)]:
        counts[i] += 1
    if keep >= len(sizes):
        empty = [i for i, count in enumerate(counts) if count == 0]
        for i in empty:
            counts[i] = 1
        payers = [(shares[i] - count, i) for i, count in enumerate(counts) if count > 1]
        heapify(payers)
        for _ in empty:
            _, i = payers[0]
            counts[i] -= 1
            if counts[i] > 1:
                heapreplace(payers, (shares[i] - counts[i], i))  # one large matrix may pay for several tiny ones
            else:
                heappop(payers)
    return counts


def select_global(
    values: Tensor | Sizes, slices: Sequence[slice], keep: int, out: Tensor, threshold: Threshold | None = None
) -> None:
    """Top-`keep` over all matrices together; no matrix ends empty while there are at least as many weights to keep.

    An all-zero matrix cuts the signal. Every matrix's best weight goes first; the rest compete for what is left. Fewer
    weights than matrices are the largest of all: the best of a matrix that has been emptied already is a zero.

    Args:
        values: [n] importance of all prunable weights, fp32.
        slices: where each matrix lies in `values`.
        keep: how many to keep in all.
        out: [n] bool, overwritten.
        threshold: as in `select_top`.
    """
    if keep < len(slices):
        select_top(values, keep, out)
        return
    if out.device.type != "cpu":
        _select_global_on_device(_held(values), slices, keep, out)
        return
    select_top(values, keep, out, threshold)
    chosen = out.numpy()
    if not all(chosen[where].any() for where in slices):
        select_top(_with_the_best_raised(_held(values), slices), keep, out)


def _select_global_on_device(values: Tensor, slices: Sequence[slice], keep: int, out: Tensor) -> None:
    """The same choice without looking whether a matrix would be empty."""
    keys = ranking_keys(values)
    for where in slices:
        own = keys[where]
        own.scatter_(0, own.argmax(0, keepdim=True), _HIGHEST_KEY)
    _select_highest_keys(keys, keep, out)


def _with_the_best_raised(values: Tensor, slices: Sequence[slice]) -> Tensor:
    """A copy in which each matrix's best weight comes first; among ties the one that would be chosen anyway."""
    values = values.clamp(max=_LARGEST)  # a copy, in which infinity is what is raised
    for where in slices:
        best = ranking_keys(values[where], where.start).argmax()
        values[where].scatter_(0, best.unsqueeze(0), torch.inf)
    return values


def select_local(
    values: Tensor, slices: Sequence[slice], density: float, out: Tensor, sizes: Sequence[int] | None = None
) -> None:
    """Top share within each matrix.

    Args:
        values: [n] importance of all prunable weights.
        slices: where each matrix lies in `values`.
        density: kept share.
        out: [n] bool, overwritten.
        sizes: weights of each matrix of which that is the share; default: all.
    """
    counts = kept_counts_local(sizes or [where.stop - where.start for where in slices], density)
    for where, keep in zip(slices, counts, strict=True):
        select_top(values[where], keep, out[where])
