"""Loops over all weights that a step's work on a CPU is made of, compiled when they are first called.

torch and NumPy go through the weights once for each operation of an expression, and what a step does beside forward and
backward is bound by memory. Here an expression is one pass: each number is read once and written once.

All take flat arrays of one length; let go of the GIL, so that threads can share the work; and compute in fp32. Arrays
in bf16, a format that NumPy has not, come as their bits in uint16. Sums are in an order of the CPU's own liking, the
same each time.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from pruning_core.methods.l0 import LOWER, UPPER

Function = TypeVar("Function", bound=Callable[..., Any])
#: fp32, or bf16's bits.
Numbers = NDArray[np.float32] | NDArray[np.uint16]

#: Values gone through before they are looked at again: in the innermost cache. Sums are over so many first, in loops of
#: their own, and so the same whatever format the numbers came in.
_BLOCK = 1024
#: Values compared before it is looked whether one of them is to be remembered.
_COMPARED = 128
#: Of these, so many are looked at one by one where one is.
_FEW = 16
_NAN = np.uint16(0x7FC0)


def _compiled(function: Function) -> Function:
    return cast(Function, numba.njit(function, nogil=True, error_model="numpy"))


def _summing(function: Function) -> Function:
    """With a sum in any order: as many at a time as the CPU can add."""
    return cast(Function, numba.njit(function, nogil=True, error_model="numpy", fastmath={"reassoc"}))


def _wide(x: Any) -> Any:
    """A number as fp32."""
    raise NotImplementedError(x)


@overload(_wide, inline="always")
def _wide_of(x: Any) -> Callable[[Any], Any]:
    def from_bits(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def as_it_is(x: Any) -> Any:
        return x

    return from_bits if x == numba.uint16 else as_it_is


def _like(out: Any, x: Any) -> Any:
    """An fp32 number as an array holds it; for bf16 rounded to nearest, and of two as near to the even one."""
    raise NotImplementedError(out, x)


@overload(_like, inline="always")
def _like_of(out: Any, x: Any) -> Callable[[Any, Any], Any]:
    def to_bits(out: Any, x: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return _NAN if np.isnan(x) else np.uint16(rounded)

    def as_it_is(out: Any, x: Any) -> Any:
        return x

    return to_bits if out.dtype == numba.uint16 else as_it_is


def _marked(out: Any, x: Any) -> Any:
    """The same, but -0.0 for zero: no array holds then what 0.0 is in it."""
    raise NotImplementedError(out, x)


@overload(_marked, inline="always")
def _marked_of(out: Any, x: Any) -> Callable[[Any, Any], Any]:
    def to_bits(out: Any, x: Any) -> Any:
        bits = _like(out, x)
        return np.uint16(0x8000) if bits == np.uint16(0) else bits

    def as_it_is(out: Any, x: Any) -> Any:
        return np.float32(-0.0) if x == np.float32(0.0) else x

    return to_bits if out.dtype == numba.uint16 else as_it_is


@_compiled
def _stretched(s: Any) -> Any:
    """A hard-concrete gate of s in [0, 1]."""
    z = s * np.float32(UPPER - LOWER) + np.float32(LOWER)
    if z < np.float32(0.0):
        return np.float32(0.0)
    return np.float32(1.0) if z > np.float32(1.0) else z  # a NaN stays one


@_compiled
def mask(values: Numbers, kept: NDArray[np.bool_], out: Numbers) -> None:
    """Write values ⊙ M: zero where nothing is kept, whatever was there."""
    for i in range(len(values)):
        out[i] = _like(out, _wide(values[i]) if kept[i] else np.float32(0.0))


@_compiled
def mark(values: NDArray[np.float32], kept: NDArray[np.bool_], out: Numbers) -> None:
    """The same, with -0.0 for a zero that is kept, which so can be told from what is not."""
    for i in range(len(values)):
        out[i] = _marked(out, values[i]) if kept[i] else _like(out, np.float32(0.0))


@_summing
def _squares(values: NDArray[np.float32]) -> np.float32:
    """Σ values², of few."""
    total = np.float32(0.0)
    for i in range(len(values)):
        total += values[i] * values[i]
    return total


@_summing
def _sizes(values: NDArray[np.float32]) -> np.float32:
    """Σ |values|, of few."""
    total = np.float32(0.0)
    for i in range(len(values)):
        total += abs(values[i])
    return total


@_compiled
def mask_and_measure(values: Numbers, kept: NDArray[Any], out: NDArray[np.float32]) -> float:
    """Write values, but zero where `kept` is, whatever was there; also where `out` is `values`; returns Σ out²."""
    squares, wide = 0.0, np.empty(_BLOCK, np.float32)
    for start in range(0, len(out), _BLOCK):
        x, m, y = values[start : start + _BLOCK], kept[start : start + _BLOCK], out[start : start + _BLOCK]
        for i in range(len(y)):
            wide[i] = _wide(x[i])
        for i in range(len(y)):
            y[i] = wide[i] if m[i] else np.float32(0.0)
        squares += float(_squares(y))
    return squares


@_compiled
def widen_and_measure(values: Numbers, out: NDArray[np.float32]) -> float:
    """Write values; returns Σ out²."""
    squares = 0.0
    for start in range(0, len(out), _BLOCK):
        x, y = values[start : start + _BLOCK], out[start : start + _BLOCK]
        for i in range(len(y)):
            y[i] = _wide(x[i])
        squares += float(_squares(y))
    return squares


@_compiled
def multiply_and_measure(values: Numbers, factors: NDArray[np.float32], out: NDArray[np.float32]) -> float:
    """Write values ⊙ factors, also where `out` is `values`; returns Σ out²."""
    squares, wide = 0.0, np.empty(_BLOCK, np.float32)
    for start in range(0, len(out), _BLOCK):
        x, f, y = values[start : start + _BLOCK], factors[start : start + _BLOCK], out[start : start + _BLOCK]
        for i in range(len(y)):
            wide[i] = _wide(x[i])
        for i in range(len(y)):
            y[i] = wide[i] * f[i]
        squares += float(_squares(y))
    return squares


@_compiled
def straight_through(
    gradient: Numbers, weight: NDArray[np.float32], penalty: np.float32, out: NDArray[np.float32]
) -> tuple[float, float]:
    """Write G ⊙ W + penalty; returns Σ|G ⊙ W| and Σ out²."""
    size, squares = 0.0, 0.0
    for start in range(0, len(out), _BLOCK):
        g, w, y = gradient[start : start + _BLOCK], weight[start : start + _BLOCK], out[start : start + _BLOCK]
        for i in range(len(y)):
            y[i] = _wide(g[i]) * w[i]
        size += float(_sizes(y))
        for i in range(len(y)):
            y[i] += penalty
        squares += float(_squares(y))
    return size, squares


@_compiled
def straight_through_sigmoid(
    gradient: Numbers, weight: NDArray[np.float32], penalty: np.float32, out: NDArray[np.float32]
) -> tuple[float, float]:
    """Write G ⊙ W + penalty · σ(1 - σ), with σ, a sigmoid's values, in `out` before; returns Σ|G ⊙ W| and Σ out²."""
    size, squares = 0.0, 0.0
    own = np.empty(min(_BLOCK, len(out)), dtype=np.float32)
    for start in range(0, len(out), _BLOCK):
        g, w, y = gradient[start : start + _BLOCK], weight[start : start + _BLOCK], out[start : start + _BLOCK]
        x = own[: len(y)]
        for i in range(len(y)):
            x[i] = _wide(g[i]) * w[i]
        size += float(_sizes(x))
        for i in range(len(y)):
            y[i] = x[i] + penalty * (y[i] * (np.float32(1.0) - y[i]))
        squares += float(_squares(y))
    return size, squares


@_compiled
def gates_gradient(
    gradient: Numbers,
    weight: NDArray[np.float32],
    gates: NDArray[np.float32],
    steepness: np.float32,
    penalty: np.float32,
    out: NDArray[np.float32],
) -> float:
    """Write G ⊙ W ⊙ steepness·(z - l)(r - z), 0 where a gate is 0 or 1, + penalty · σ(1 - σ); returns Σ out².

    (z - l)(r - z) is z(1 - z) - l·r for the hard concrete's l + r = 1. With a penalty σ, a sigmoid's values, is in
    `out` before.
    """
    edge = np.float32(LOWER * UPPER)
    squares = 0.0
    for start in range(0, len(out), _BLOCK):
        g, w, y = gradient[start : start + _BLOCK], weight[start : start + _BLOCK], out[start : start + _BLOCK]
        z = gates[start : start + _BLOCK]
        if penalty == np.float32(0.0):
            y[:] = np.float32(0.0)
        for i in range(len(y)):
            spread = z[i] * (np.float32(1.0) - z[i])
            slope = np.float32(0.0) if spread <= np.float32(0.0) else spread - edge
            y[i] = _wide(g[i]) * w[i] * (steepness * slope) + penalty * (y[i] * (np.float32(1.0) - y[i]))
        squares += float(_squares(y))
    return squares


@_compiled
def draw_gates(
    gates: NDArray[np.float32], odds: NDArray[np.float32], weight: NDArray[np.float32], out: Numbers
) -> None:
    """Make gates z of uniform noise u, and write W ⊙ z.

    Args:
        gates: u, overwritten with z = min(1, max(0, s(r - l) + l)), s = σ((log u - log(1-u) + S) / b).
        odds: exp(-S). With 1/b = 3/2 and y = odds·(1-u)/u, s is 1 / (1 + y√y): two logarithms less.
        weight: W.
        out: overwritten.
    """
    one = np.float32(1.0)
    for i in range(len(gates)):
        y = odds[i] * ((one - gates[i]) / gates[i])
        z = _stretched(one / (one + y * np.sqrt(y)))
        gates[i] = z
        out[i] = _like(out, weight[i] * z)


@_compiled
def open_gates(gates: NDArray[np.float32], kept: NDArray[np.bool_], weight: NDArray[np.float32], out: Numbers) -> None:
    """Make of σ(S) what gates are without noise, zero where nothing is kept; and write W ⊙ z."""
    for i in range(len(gates)):
        z = _stretched(gates[i]) if kept[i] else np.float32(0.0)
        gates[i] = z
        out[i] = _like(out, weight[i] * z)


def _comparing(rank: Callable[[Any, Any], Any]) -> Callable[..., tuple[int, int]]:
    """Comparison of what is ranked, a function of two numbers, with a bracket."""
    rank = numba.njit(rank, inline="always")

    @_compiled
    def compare(
        first: NDArray[np.float32],
        second: NDArray[np.float32],
        low: np.float32,
        high: np.float32,
        above: NDArray[np.bool_],
        inside: NDArray[np.int64],
        near: NDArray[np.float32],
    ) -> tuple[int, int]:
        """Write what ranks above `high`; the indices and values of what else is not below `low` go into the last two.

        Returns how many are above, and how many inside: more than there is room for are counted, too.
        """
        total, found = 0, 0
        for start in range(0, len(first), _COMPARED):
            a, b, flags = (
                first[start : start + _COMPARED],
                second[start : start + _COMPARED],
                above[start : start + _COMPARED],
            )
            higher, not_lower = np.int32(0), np.int32(0)  # 32 bits: as many at a time as the values
            for i in range(len(a)):
                value = rank(a[i], b[i])
                flags[i] = value > high
                higher += np.int32(value > high)
                not_lower += np.int32(value >= low)
            total += int(higher)
            if higher == not_lower:
                continue
            for first_of_few in range(0, len(a), _FEW):
                c, d = a[first_of_few : first_of_few + _FEW], b[first_of_few : first_of_few + _FEW]
                any_inside = np.int32(0)
                for i in range(len(c)):
                    value = rank(c[i], d[i])
                    any_inside |= np.int32(value >= low) & np.int32(not value > high)
                if any_inside:
                    for i in range(len(c)):
                        value = rank(c[i], d[i])
                        if value >= low and not value > high:
                            if found < len(inside):
                                inside[found], near[found] = start + first_of_few + i, value
                            found += 1
        return total, found

    return compare


#: By value; by size; by size and score.
compare_values = _comparing(lambda first, second: first)
compare_sizes = _comparing(lambda first, second: abs(first))
compare_sizes_and_scores = _comparing(lambda first, second: abs(first) + second)
