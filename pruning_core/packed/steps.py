"""int8: every row of a block has a step, and a value is -127 … 127 of them.

The step is a 24th of the root mean square of the block's non-zero values, or what the row's largest value needs, if
that is more. Uniform steps with entropy coding come within a quarter of a bit of the best there is (Gish & Pierce,
1968), and equal ones make the same noise in every row; a step that fills all of int8 in each row, as is the custom
without entropy coding, takes half a bit more for noise that nobody hears.

Steps are powers of 2^(1/8), so that a row's costs a byte, and the same byte on every machine.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pruning_core.packed.coding import compress, decompress
from pruning_core.packed.frames import Cursor, sized, varint
from pruning_core.packed.powers import power_of_two

Floats = NDArray[np.float32]
Symbols = NDArray[np.int8]

#: Steps to the root mean square of a block's values.
PER_RMS = 24.0
LARGEST = 127
#: Steps lie between 2^-100 and 2^92: far from what fp32 cannot tell apart, or cannot hold.
_SMALLEST, _LARGEST_BASE, _MOST_ABOVE = -800, 480, 255


@dataclass(frozen=True)
class Steps:
    """The steps of a block's rows.

    Attributes:
        base: the block's smallest is 2^(base / 8).
        above: [rows], how many eighths of a doubling each row's is above that.
    """

    base: int
    above: NDArray[np.uint8]

    @classmethod
    def of(cls, table: Floats) -> Self | None:
        """The steps for some rows of finite numbers, [rows, width]; None where no int8 can hold them."""
        largest = np.abs(table).max(axis=1).astype(np.float64)
        if not largest.any():
            return cls(0, np.zeros(len(table), np.uint8))
        squares = np.einsum("rw,rw->", table, table, dtype=np.float64)
        rms = np.sqrt(squares / np.count_nonzero(table))
        base = round(8.0 * float(np.log2(rms / PER_RMS)))
        with np.errstate(divide="ignore"):  # a row of zeros
            needed = np.ceil(8.0 * np.log2(largest / LARGEST) - 1e-6)
        above = np.maximum(needed - base, 0.0)
        if not _SMALLEST <= base <= _LARGEST_BASE or above.max() > _MOST_ABOVE:
            return None
        return cls(base, above.astype(np.uint8))

    @classmethod
    def read(cls, cursor: Cursor, rows: int) -> Self:
        """Read what `to_bytes` made.

        Raises:
            PackedError: the bytes are none of that.
        """
        base = cursor.number() + _SMALLEST
        above = cursor.sized()
        return cls(min(base, _LARGEST_BASE), np.frombuffer(decompress(above, rows) if above else bytes(rows), np.uint8))

    def to_bytes(self) -> bytes:
        """The block's base, and the rows' bytes where there are any but zero."""
        return varint(self.base - _SMALLEST) + sized(compress(self.above.tobytes()) if self.above.any() else b"")

    def of_rows(self) -> Floats:
        """Each row's step, [rows]."""
        eighths = self.base + self.above.astype(np.int64)
        return power_of_two(eighths).astype(np.float32)


def quantized(table: Floats, steps: Steps, *, keep_from_zero: bool) -> Symbols:
    """Numbers in steps, [rows, width].

    Args:
        table: the numbers, [rows, width].
        steps: of the rows.
        keep_from_zero: no number but zero becomes zero, so that a mask stays what it is.
    """
    counted = np.rint(table / steps.of_rows()[:, None])
    if keep_from_zero:
        np.copyto(counted, np.sign(table), where=counted == 0.0)
    symbols: Symbols = np.clip(counted, -LARGEST, LARGEST).astype(np.int8)
    return symbols


def dequantized(symbols: Symbols, steps: Floats) -> Floats:
    """The numbers that symbols stand for; steps of a shape that fits."""
    numbers: Floats = symbols.astype(np.float32) * steps
    return numbers
