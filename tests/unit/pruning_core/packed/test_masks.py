"""Masks take what information theory says they must, and less where rows and columns tell something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pruning_core.packed.masks import decode_by_lines, decode_evenly, encode_by_lines, encode_evenly

Mask = NDArray[np.bool_]


def bound(mask: Mask) -> float:
    """N·H(density) in bytes."""
    density = mask.mean()
    entropy = -density * np.log2(density) - (1 - density) * np.log2(1 - density)
    return float(mask.size * entropy / 8)


@pytest.mark.parametrize("density", [0.003, 0.03, 0.06, 0.3, 0.5])
def test_independent_bits_take_no_more_than_the_bound(density: float) -> None:
    mask = np.random.default_rng(0).random((384, 1536)) < density
    assert len(encode_evenly(mask.ravel(), int(mask.sum()))) <= 1.001 * bound(mask) + 8
    # learning that there is nothing to learn costs little, and then the other is taken
    assert len(encode_by_lines(mask, int(mask.sum()))) <= 1.06 * bound(mask)


def test_rows_and_columns_of_different_density_take_less_than_the_bound() -> None:
    generator = np.random.default_rng(0)
    rows, columns = generator.lognormal(0, 0.8, (384, 1)), generator.lognormal(0, 0.8, (1, 768))
    chances = np.minimum(0.06 * rows * columns / (rows.mean() * columns.mean()), 0.9)
    mask = generator.random(chances.shape) < chances
    # what would be needed if every density were known
    least = -np.log2(np.where(mask, chances, 1 - chances)).sum() / 8
    coded = encode_by_lines(mask, int(mask.sum()))
    assert least < len(coded) < least + 0.5 * (bound(mask) - least)


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_masks_come_back(rows: int, width: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, width)) < density
    ones = int(mask.sum())
    if 0 < ones < mask.size:
        by_lines = memoryview(encode_by_lines(mask, ones))
        assert np.array_equal(decode_by_lines(by_lines, rows, width, ones), mask)
        evenly = memoryview(encode_evenly(mask.ravel(), ones))
        assert np.array_equal(decode_evenly(evenly, mask.size, ones), mask.ravel())
