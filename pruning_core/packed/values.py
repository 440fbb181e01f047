"""A block of a tensor as bytes and back: a mask where it has zeros, and its values exact, as fp16 or as int8."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.packed import coding
from pruning_core.packed.frames import Cursor, PackedError, sized, varint
from pruning_core.packed.layout import Block
from pruning_core.packed.masks import SHORTEST, decode_by_lines, decode_evenly, encode_by_lines, encode_evenly
from pruning_core.packed.precision import Precision
from pruning_core.packed.steps import Steps, dequantized, quantized

Items = NDArray[Any]
"""A block's items as unsigned integers of their size: bits, whatever they mean."""
Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]

#: The share of zeros from which on a block counts as pruned. Embeddings have a row of them for padding.
ZEROS_TO_SPEAK_OF = 0.1
LARGEST_HALF = 65504.0
_MASKED, _BY_LINES = 0x10, 0x20
_NUMBERS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


class Values(IntEnum):
    """How values are kept."""

    EXACT = 0
    HALF = 1
    INT8 = 2


#: About how many bits each takes; an exact one as many as it has.
_BITS = {Values.HALF: 16, Values.INT8: 7}


@dataclass(frozen=True)
class Coded:
    """A block, packed.

    Attributes:
        payload: to be kept.
        restored: the items' bytes as `decode_block` gives them back.
    """

    payload: bytes
    restored: bytes


def encode_block(data: bytes, block: Block, pruned: Precision, others: Precision) -> Coded:
    """Code a block.

    Args:
        data: its items.
        block: what they are.
        pruned: how to keep what is left of a pruned block: one that has zeros to speak of.
        others: how to keep other blocks.
    """
    items = np.frombuffer(data, f"<u{block.item_bytes}")
    floats = _floats(items, block)
    ones = int(np.count_nonzero(items))
    zeros = block.items - ones
    values, steps = _values(floats, block, pruned if zeros >= ZEROS_TO_SPEAK_OF * block.items else others)
    masked = coding.entropy(block.items, ones) < zeros * _BITS.get(values, 8 * block.item_bytes)
    restored = data
    if values is Values.HALF:
        halves = items.view(_NUMBERS[block.dtype]).astype("<f2")
        items, restored = halves.view("<u2"), halves.astype(_NUMBERS[block.dtype]).tobytes()
    elif values is Values.INT8:
        assert floats is not None
        assert steps is not None
        symbols = quantized(floats.reshape(block.rows, block.width), steps, keep_from_zero=masked)
        restored = _items(dequantized(symbols, steps.of_rows()[:, None]).ravel(), block).tobytes()
        items = symbols.ravel().view(np.uint8)
    how, mask = 0, b""
    if masked:
        kept = items != 0
        items = items[kept]
        how, mask = _encode_mask(kept.reshape(block.rows, block.width), len(items))
    return Coded(bytes([values | how]) + mask + _encode_values(items, steps), restored)


def _encode_mask(mask: Bits, ones: int) -> tuple[int, bytes]:
    """How a mask is coded, in a bit or two, and the code: the shorter of two."""
    few = min(ones, mask.size - ones)
    bits = mask if few == ones else ~mask
    if few == 0:
        return _MASKED, varint(ones)
    coded = encode_evenly(bits.ravel(), few)
    if min(bits.shape) >= SHORTEST:
        by_lines = encode_by_lines(bits, few)
        if len(by_lines) < len(coded):
            return _MASKED | _BY_LINES, varint(ones) + sized(by_lines)
    return _MASKED, varint(ones) + sized(coded)


def _encode_values(items: Items, steps: Steps | None) -> bytes:
    """Symbols behind their steps; without steps items, byte by byte of each: bytes of like meaning compress best."""
    if len(items) == 0:
        return b""
    if steps is not None:
        return steps.to_bytes() + coding.encode_symbols(items)
    planes = np.frombuffer(items.tobytes(), np.uint8).reshape(-1, items.itemsize).T
    return b"".join(sized(coding.compress(plane.tobytes())) for plane in planes)


def decode_block(payload: bytes, block: Block) -> bytes:
    """The block's items back.

    Raises:
        PackedError: the payload does not describe such a block.
    """
    cursor = Cursor(payload)
    kind = cursor.byte()
    mask = _read_mask(cursor, block, by_lines=bool(kind & _BY_LINES)) if kind & _MASKED else None
    count = block.items if mask is None else int(np.count_nonzero(mask))
    match kind & ~(_MASKED | _BY_LINES):
        case Values.EXACT:
            kept = _read_planes(cursor, count, block.item_bytes)
        case Values.HALF if block.dtype in _NUMBERS:
            halves = _read_planes(cursor, count, 2).view("<f2")
            kept = halves.astype(_NUMBERS[block.dtype]).view(f"<u{block.item_bytes}")
        case Values.INT8 if block.dtype in (*_NUMBERS, "BF16"):
            kept = _items(_read_int8(cursor, mask, count, block), block)
        case _:
            raise PackedError("A tensor in the file is coded in a way that does not exist: it is damaged.")
    if not cursor.at_end:
        raise PackedError("A tensor in the file is followed by what does not belong to it: it is damaged.")
    if mask is None:
        return kept.tobytes()
    items = np.zeros(block.items, kept.dtype)
    items[mask] = kept
    return items.tobytes()


def _read_mask(cursor: Cursor, block: Block, *, by_lines: bool) -> Bits:
    """A mask, [items]."""
    ones = cursor.number()
    few = min(ones, block.items - ones)
    if few <= 0:
        if ones > block.items or by_lines:
            raise PackedError("A mask in the file keeps more weights than there are: it is damaged.")
        return np.full(block.items, ones > 0)
    coded = cursor.sized()
    if by_lines:
        bits = decode_by_lines(coded, block.rows, block.width, few).ravel()
    else:
        bits = decode_evenly(coded, block.items, few)
    if np.count_nonzero(bits) != few:
        raise PackedError("A mask in the file does not keep as many weights as it says: it is damaged.")
    return bits if few == ones else ~bits


def _read_planes(cursor: Cursor, count: int, item_bytes: int) -> Items:
    planes = [coding.decompress(cursor.sized(), count) for _ in range(item_bytes)] if count else []
    joined = np.empty((count, item_bytes), np.uint8)
    for place, plane in enumerate(planes):
        joined[:, place] = np.frombuffer(plane, np.uint8)
    return joined.view(f"<u{item_bytes}").ravel()


def _read_int8(cursor: Cursor, mask: Bits | None, count: int, block: Block) -> Floats:
    if count == 0:
        return np.empty(0, np.float32)
    steps = Steps.read(cursor, block.rows).of_rows()
    symbols = coding.decode_symbols(cursor.rest(), count).view(np.int8)
    if mask is None:
        return dequantized(symbols.reshape(block.rows, block.width), steps[:, None]).ravel()
    in_row = mask.reshape(block.rows, block.width).sum(axis=1)
    return dequantized(symbols, np.repeat(steps, in_row))


def _values(floats: Floats | None, block: Block, precision: Precision) -> tuple[Values, Steps | None]:
    """How a block is kept: exactly unless its numbers are finite and within what is asked for; for int8, the steps."""
    if precision == "fp32" or floats is None or not np.isfinite(floats).all():
        return Values.EXACT, None
    largest = float(np.abs(floats).max())
    # What has no rows are biases and norms: few, and sensitive. An fp16 must not be rounded up to infinity.
    if precision == "int8" and block.matrix and (block.dtype != "F16" or largest <= LARGEST_HALF / 2):
        steps = Steps.of(floats.reshape(block.rows, block.width))
        if steps is not None:
            return Values.INT8, steps
    return Values.HALF if block.item_bytes > 2 and largest <= LARGEST_HALF else Values.EXACT, None


def _floats(items: Items, block: Block) -> Floats | None:
    """A block's numbers in fp32; None where they are no floating-point numbers."""
    if block.dtype == "BF16":
        return (items.astype("<u4") << np.uint32(16)).view("<f4")
    if block.dtype not in _NUMBERS:
        return None
    with np.errstate(over="ignore"):  # an fp64 beyond fp32 becomes infinite, and is kept exactly for that
        return items.view(_NUMBERS[block.dtype]).astype("<f4")


def _items(floats: Floats, block: Block) -> Items:
    """Numbers as the block's items, rounded to the nearest."""
    if block.dtype == "BF16":
        bits = floats.view("<u4").astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    with np.errstate(over="ignore"):  # a damaged file's numbers may not fit
        return floats.astype(_NUMBERS[block.dtype]).view(f"<u{block.item_bytes}")
