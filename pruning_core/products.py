"""Elementwise work of every step, in one pass on a CPU (`kernels`) and by torch's own operations elsewhere."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core import kernels
from pruning_core.methods.l0 import LOWER, UPPER
from pruning_core.threads import in_parts

#: Numbers whose exponentials are taken before they are used: as many as a cache holds.
_CHUNK = 1 << 20


def multiply_by_mask(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """Write values ⊙ mask, all [n]; values or `out` may be in bf16. On a CPU a masked NaN is zero."""
    if values.device.type != "cpu":
        torch.mul(values, mask, out=out)
        return
    numbers, kept, products = numbers_of(values), numbers_of(mask), numbers_of(out)
    in_place = values.data_ptr() == out.data_ptr() and out.dtype == torch.float32
    work = kernels.mask_and_measure if in_place else kernels.mask  # which would go one by one
    in_parts(len(numbers), lambda part: work(numbers[part], kept[part], products[part]))


def mark(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """Write values ⊙ mask, but -0.0 for a zero that is kept: 0.0 is what is removed; `out` may be in bf16."""
    if values.device.type != "cpu":
        torch.mul(values, mask, out=out)
        out.masked_fill_(~mask, 0.0).masked_fill_(mask & (out == 0.0), -0.0)
        return
    numbers, kept, products = numbers_of(values), numbers_of(mask), numbers_of(out)
    in_parts(len(numbers), lambda part: kernels.mark(numbers[part], kept[part], products[part]))


def mask_gradient(own: Tensor, marks: Tensor, out: Tensor) -> Tensor:
    """Write own ⊙ M, on the thread that asks; returns the L2 norm of `out`, a scalar.

    Args:
        own: [n] gradient.
        marks: [n], zero where M is False.
        out: [n] fp32.
    """
    if own.device.type != "cpu":
        return norm_of(torch.mul(own, marks != 0, out=out))
    return _root(kernels.mask_and_measure(numbers_of(own), numbers_of(marks), numbers_of(out)))


def widen_gradient(own: Tensor, out: Tensor) -> Tensor:
    """Write a gradient of [n] in fp32, on the thread that asks; returns its L2 norm, a scalar."""
    if own.device.type != "cpu":
        return norm_of(out.copy_(own))
    return _root(kernels.widen_and_measure(numbers_of(own), numbers_of(out)))


def multiply_gradient(own: Tensor, factors: Tensor, out: Tensor) -> Tensor:
    """Write own ⊙ factors, [n] both, on the thread that asks; returns the L2 norm of `out`, a scalar."""
    if own.device.type != "cpu":
        return norm_of(torch.mul(own, factors, out=out))
    return _root(kernels.multiply_and_measure(numbers_of(own), numbers_of(factors), numbers_of(out)))


def score_gradient(own: Tensor, weight: Tensor, penalty: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Write G ⊙ W + penalty, [n] but for the penalty, on the thread that asks.

    Returns:
        Σ|G ⊙ W|, and the L2 norm of `out`, scalars.
    """
    if own.device.type != "cpu":
        torch.mul(own, weight, out=out)
        size = torch.linalg.vector_norm(out, ord=1)
        return size, norm_of(out.add_(penalty))
    size, squares = kernels.straight_through(numbers_of(own), numbers_of(weight), np.float32(penalty), numbers_of(out))
    return torch.tensor(size), _root(squares)


def score_gradient_by_share(own: Tensor, weight: Tensor, penalty: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Write G ⊙ W + penalty · σ(1 - σ) over σ, which is in `out`; returns what `score_gradient` does."""
    if own.device.type != "cpu":
        pull = own * weight
        out.sub_(out.square()).mul_(penalty).add_(pull)
        return torch.linalg.vector_norm(pull, ord=1), norm_of(out)
    arrays = numbers_of(own), numbers_of(weight)
    size, squares = kernels.straight_through_sigmoid(*arrays, np.float32(penalty), numbers_of(out))
    return torch.tensor(size), _root(squares)


def gates_gradient(
    own: Tensor, weight: Tensor, gates: Tensor, *, steepness: float, penalty: Tensor | None, out: Tensor
) -> Tensor:
    """Write the gradient of hard-concrete gates' scores, as `kernels.gates_gradient`; returns its L2 norm, a scalar."""
    if own.device.type != "cpu":
        slope = torch.addcmul(gates, gates, gates, value=-1.0)
        edge = LOWER * UPPER
        slope = torch.threshold_(slope, 0.0, edge).sub_(edge).mul_(steepness)
        if penalty is None:
            return norm_of(torch.mul(own, weight, out=out).mul_(slope))
        return norm_of(out.sub_(out.square()).mul_(penalty).addcmul_(slope.mul_(weight), own))
    arrays = numbers_of(own), numbers_of(weight), numbers_of(gates)
    strength = np.float32(0.0 if penalty is None else penalty)
    return _root(kernels.gates_gradient(*arrays, np.float32(steepness), strength, numbers_of(out)))


def draw_gates(gates: Tensor, score: Tensor, weight: Tensor, out: Tensor) -> None:
    """Make hard-concrete gates of uniform noise, in place, and write W ⊙ z, as in `kernels.draw_gates`; all [n]."""
    if gates.device.type != "cpu":
        odds = torch.neg(score).exp_().mul_((1.0 - gates).div_(gates))
        torch.div(1.0, odds.mul_(odds.sqrt()).add_(1.0), out=gates)
        torch.mul(weight, stretch(gates), out=out)
        return
    scratch = torch.empty_like(score[:_CHUNK])
    for some in zip(gates.split(_CHUNK), score.split(_CHUNK), weight.split(_CHUNK), out.split(_CHUNK), strict=True):
        noise, own_score, own_weight, product = some
        odds = torch.neg(own_score, out=scratch[: len(noise)]).exp_()
        arrays = numbers_of(noise), numbers_of(odds), numbers_of(own_weight), numbers_of(product)
        in_parts(len(noise), partial(_draw_gates, arrays))


def _draw_gates(arrays: tuple[NDArray[Any], ...], part: slice) -> None:
    kernels.draw_gates(*(array[part] for array in arrays))


def open_gates(gates: Tensor, score: Tensor, mask: Tensor, weight: Tensor, out: Tensor) -> None:
    """Write what gates are without noise, zero where nothing is kept, and W ⊙ z; all [n]."""
    torch.sigmoid(score, out=gates)
    if gates.device.type != "cpu":
        torch.mul(weight, stretch(gates).mul_(mask), out=out)
        return
    arrays = numbers_of(gates), numbers_of(mask), numbers_of(weight), numbers_of(out)
    in_parts(len(gates), lambda part: kernels.open_gates(*(array[part] for array in arrays)))


def stretch(s: Tensor) -> Tensor:
    """Make gates of s, in place: z = min(1, max(0, s(r-l) + l))."""
    return s.mul_(UPPER - LOWER).add_(LOWER).clamp_(0.0, 1.0)


def norm_of(values: Tensor) -> Tensor:
    """L2 norm of [n] values, a scalar on their device."""
    return torch.dot(values, values).sqrt_() if values.device.type == "cpu" else torch.linalg.vector_norm(values)


def fill_where(values: Tensor, chosen: Tensor, value: float) -> None:
    """Write one value at the chosen places of [n] values."""
    if values.device.type != "cpu":
        values.masked_fill_(chosen, value)
        return
    numbers, places = values.numpy(), chosen.numpy()
    in_parts(len(numbers), lambda part: np.copyto(numbers[part], value, where=places[part]))


def numbers_of(values: Tensor) -> NDArray[Any]:
    """The same memory as an array for `kernels`: bf16 as its bits."""
    values = values.detach()
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()


def _root(squares: float) -> Tensor:
    return torch.tensor(math.sqrt(squares))
