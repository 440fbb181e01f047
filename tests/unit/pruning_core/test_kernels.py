"""Compiled loops, against torch's operations: values to the bit, sums against double precision."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core import kernels
from pruning_core.products import (
    draw_gates,
    gates_gradient,
    mask_gradient,
    multiply_by_mask,
    multiply_gradient,
    numbers_of,
    open_gates,
    score_gradient,
    score_gradient_by_share,
    widen_gradient,
)
from pruning_core.selection import Sizes, select_top

SIZES = [0, 1, 15, 1023, 1024, 1025, 70_001]
LOWER, UPPER, TEMPERATURE = -0.1, 1.1, 2 / 3
formats = pytest.mark.parametrize("format_", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
sizes = pytest.mark.parametrize("size", SIZES)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def norm(values: Tensor) -> object:
    return pytest.approx(float(torch.linalg.vector_norm(values.double())), rel=1e-6, abs=1e-12)


def test_bf16_is_rounded_as_torch_rounds_it() -> None:
    """All exponents and signs, and mantissas around every kind of half way, infinities and NaN among them."""
    upper = np.arange(2**16, dtype=np.uint32) << 16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    values = torch.from_numpy((upper[:, None] | lower).reshape(-1).view(np.float32))
    rounded = torch.empty(len(values), dtype=torch.bfloat16)
    multiply_by_mask(values, torch.ones(len(values), dtype=torch.bool), out=rounded)
    expected = values.bfloat16()
    number = ~values.isnan()
    assert torch.equal(rounded[number].view(torch.int16), expected[number].view(torch.int16))
    assert bool(rounded[~number].isnan().all())
    widened = torch.empty_like(values)
    widen_gradient(rounded, out=widened)
    assert torch.equal(widened[number].view(torch.int32), expected[number].float().view(torch.int32))


def test_what_is_masked_is_zero_whatever_it_was() -> None:
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, -1.0, torch.nan, torch.inf])
    mask = torch.tensor([False, False, False, False, True, True])
    out = torch.empty(6)
    multiply_by_mask(values, mask, out=out)
    assert out[:4].view(torch.int32).tolist() == [0, 0, 0, 0]
    assert bool(out[4].isnan())
    assert float(out[5]) == torch.inf


@formats
def test_weights_may_be_masked_where_they_are(format_: torch.dtype) -> None:
    values, mask = torch.randn(70_001).to(format_), torch.rand(70_001) < 0.3
    expected = torch.where(mask, values, 0.0)
    multiply_by_mask(values, mask, out=values)
    assert torch.equal(values, expected)


@formats
@sizes
def test_gradients_are_torchs_and_measured(size: int, format_: torch.dtype) -> None:
    own, mask, factors = torch.randn(size).to(format_), torch.rand(size) < 0.3, torch.rand(size)
    ways: list[tuple[Tensor, Callable[[Tensor], Tensor]]] = [
        (torch.where(mask, own.float(), 0.0), lambda out: mask_gradient(own, mask, out=out)),
        (own.float() * factors, lambda out: multiply_gradient(own, factors, out=out)),
        (own.float(), lambda out: widen_gradient(own, out=out)),
    ]
    for expected, work in ways:
        out = torch.full((size,), torch.nan)
        assert float(work(out)) == norm(expected)
        assert torch.equal(out, expected)


@sizes
def test_gradients_may_be_changed_where_they_are(size: int) -> None:
    own, mask, factors = torch.randn(size), torch.rand(size) < 0.3, torch.rand(size)
    masked, multiplied, weights = own.clone(), own.clone(), own.clone()
    mask_gradient(masked, mask, out=masked)
    multiply_gradient(multiplied, factors, out=multiplied)
    multiply_by_mask(weights, mask, out=weights)
    assert torch.equal(masked, torch.where(mask, own, 0.0))
    assert torch.equal(weights, masked)
    assert torch.equal(multiplied, own * factors)


@formats
@sizes
def test_gradients_of_scores_are_torchs_and_measured(size: int, format_: torch.dtype) -> None:
    own, weight, share = torch.randn(size).to(format_), torch.randn(size), torch.rand(size)
    penalty, out = torch.tensor(0.25), torch.full((size,), torch.nan)
    size_ = float((own.double() * weight.double()).abs().sum())
    total, length = score_gradient(own, weight, penalty, out=out)
    assert torch.equal(out, own.float() * weight + penalty)
    assert float(length) == norm(out)
    assert float(total) == pytest.approx(size_, rel=1e-6, abs=1e-12)
    out = share.clone()
    total, length = score_gradient_by_share(own, weight, penalty, out=out)
    assert float(length) == norm(out)
    assert float(total) == pytest.approx(size_, rel=1e-6, abs=1e-12)
    expected = own.double() * weight.double() + 0.25 * share.double() * (1 - share.double())
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_norm_does_not_depend_on_the_format_that_gradients_came_in() -> None:
    """So a run that computes in bf16 is one that has autocast round, to the bit."""
    own, mask, weight = torch.randn(70_001).bfloat16(), torch.rand(70_001) < 0.3, torch.randn(70_001)
    found = []
    for gradient in (own, own.float()):
        out = torch.empty(len(own))
        total, length = score_gradient(gradient, weight, torch.tensor(0.1), out=out)
        found.append((float(total), float(length), float(mask_gradient(gradient, mask, out=out))))
    assert found[0] == found[1]


@pytest.mark.parametrize("penalty", [None, 0.25])
@formats
def test_the_gradient_of_gates_is_autograds(penalty: float | None, format_: torch.dtype) -> None:
    """Of Σ G ⊙ W ⊙ z(S) + penalty · Σ σ(S - c), with the noise held fixed."""
    own, weight, noise = torch.randn(5000).to(format_), torch.randn(5000), torch.rand(5000).clamp(1e-3, 1 - 1e-3)
    score = (3 * torch.randn(5000)).requires_grad_()
    gates = (torch.sigmoid((noise.logit() + score) / TEMPERATURE) * (UPPER - LOWER) + LOWER).clamp(0, 1)
    share = torch.sigmoid(score - 0.5)
    loss = (own.float() * weight * gates).sum() + (penalty or 0.0) * share.sum()
    (expected,) = torch.autograd.grad(loss, score)
    out = share.detach().clone() if penalty else torch.full((5000,), torch.nan)
    strength = torch.tensor(penalty) if penalty else None
    steepness = 1 / ((UPPER - LOWER) * TEMPERATURE)
    length = gates_gradient(own, weight, gates.detach(), steepness=steepness, penalty=strength, out=out)
    flat = (gates <= 1e-6) | (gates >= 1 - 1e-6)  # where rounding decides whether a gate still moves
    torch.testing.assert_close(out[~flat], expected[~flat], rtol=1e-3, atol=1e-5)
    assert float(length) == norm(out)


@formats
@sizes
def test_gates_are_the_hard_concretes(size: int, format_: torch.dtype) -> None:
    score, weight, mask = 4 * torch.randn(size), torch.randn(size), torch.rand(size) < 0.3
    noise = torch.rand(size).clamp(1e-6, 1 - 1e-6)
    s = torch.sigmoid((noise.double().logit() + score.double()) / TEMPERATURE)
    gates, out = noise.clone(), torch.empty(size, dtype=format_)
    draw_gates(gates, score, weight, out=out)
    expected = (s * (UPPER - LOWER) + LOWER).clamp(0, 1)
    torch.testing.assert_close(gates.double(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(out, (weight * gates).to(format_))
    open_gates(gates, score, mask, weight, out=out)
    expected = torch.where(mask, (torch.sigmoid(score.double()) * (UPPER - LOWER) + LOWER).clamp(0, 1), 0.0)
    torch.testing.assert_close(gates.double(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(out, (weight * gates).to(format_))


def test_a_score_that_is_no_number_shows_in_the_weights() -> None:
    score, ones, mask = torch.tensor([torch.nan, 0.0]), torch.ones(2), torch.ones(2, dtype=torch.bool)
    drawn, opened = torch.empty(2), torch.empty(2)
    draw_gates(torch.full((2,), 0.5), score, ones, out=drawn)
    open_gates(torch.empty(2), score, mask, ones, out=opened)
    assert drawn.isnan().tolist() == opened.isnan().tolist() == [True, False]
    gradient = torch.zeros(2)
    gates_gradient(ones, ones, torch.tensor([torch.nan, 0.5]), steepness=1.0, penalty=None, out=gradient)
    assert gradient.isnan().tolist() == [True, False]


def test_scores_far_out_leave_gates_finite() -> None:
    score = torch.tensor([-1e4, -100.0, 100.0, 1e4])
    for noise in (1e-6, 0.5, 1 - 1e-6):
        gates, out = torch.full((4,), noise), torch.empty(4)
        draw_gates(gates, score, torch.ones(4), out=out)
        assert gates.tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("bracket", [(0.2, 0.3), (-torch.inf, torch.inf), (0.3, 0.3), (9.0, 9.5), (-0.5, 1.0)])
@pytest.mark.parametrize(
    ("compare", "rank"),
    [
        (kernels.compare_values, lambda w, s: w),
        (kernels.compare_sizes, lambda w, s: np.abs(w)),
        (kernels.compare_sizes_and_scores, lambda w, s: np.abs(w) + s),
    ],
)
@sizes
def test_a_bracket_parts_values_in_three(
    size: int,
    compare: Callable[..., tuple[int, int]],
    rank: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    bracket: tuple[float, float],
) -> None:
    random = np.random.default_rng(0)
    weight, score = (np.round(random.standard_normal(size), 2).astype(np.float32) for _ in range(2))
    values, (low, high) = rank(weight, score), (np.float32(end) for end in bracket)
    expected = np.flatnonzero((values >= low) & ~(values > high))
    for room in (size, min(size, 3)):
        above, inside, near = np.empty(size, bool), np.full(room, -1), np.empty(room, np.float32)
        total, found = compare(weight, score, low, high, above, inside, near)
        assert np.array_equal(above, values > high)
        assert total == np.count_nonzero(values > high)
        assert found == len(expected)
        assert np.array_equal(inside[:found], expected[:room])
        assert np.array_equal(near[:found], values[expected][:room])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_sizes_are_ranked_like_a_tensor_that_holds_them(threads: int, scored: bool) -> None:
    torch.set_num_threads(threads)
    weight = torch.randn(1_200_001).mul_(100).round_().div_(100)  # many tie
    sizes_ = Sizes(weight, torch.randn(len(weight)).mul_(10).round_().div_(100) if scored else None)
    written = sizes_.write(torch.empty_like(weight))
    for keep in (1, 7, 40_000, 600_000, 1_200_000):
        masks = torch.empty(2, len(weight), dtype=torch.bool)
        select_top(sizes_, keep, masks[0])
        select_top(written, keep, masks[1])
        assert torch.equal(masks[0], masks[1])
        assert int(masks[0].sum()) == keep


def test_a_tensors_bits_are_not_copied() -> None:
    values = torch.zeros(3, dtype=torch.bfloat16)
    numbers_of(values)[1] = 0x3F80
    assert values.tolist() == [0.0, 1.0, 0.0]
