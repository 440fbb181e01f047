"""Masks, by a range coder: bits of one density, or of densities learnt on the way from the mask's own rows and columns.

Pruned matrices have lines that are denser than others: neurons and features that matter. Telling both sides how dense
each is costs more than it saves; but both know what they have coded so far. So a matrix is walked in tiles, and the
density of a place is that of the matrix, times how much denser than expected its row has been until then, times the
same for its column. About 5 % less than the best that one density per matrix can do.

Densities have levels, a quarter of a doubling apart. Within a tile, places of one level are coded together, eight bits
a symbol: so the coder has few symbols, and few models, to deal with.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pruning_core.packed.coding import Bytes, Decoder, Encoder, eight_bits
from pruning_core.packed.powers import power_of_two

Bits = NDArray[np.bool_]
Counts = NDArray[np.int64]

#: The sides of the first tiles of a matrix, and of all that follow: small where little is known yet.
_FIRST_SIDES = (32, 64, 128)
_SIDE = 256
#: Lines shorter than this tell nothing of use.
SHORTEST = 32

_LEVELS = 96
#: The density of each level: 0.9, 0.9 · 2^(-1/4), …
_DENSITIES = 0.9 * power_of_two(np.arange(0, -2 * _LEVELS, -2))
_MODELS = [eight_bits(density) for density in _DENSITIES]
#: Where one level of a line's ratio ends and the next begins: 2^(-79/8), 2^(-77/8), … 2^(79/8).
_BETWEEN = power_of_two(np.arange(-79, 80, 2))
_MIDDLE = len(_BETWEEN) // 2

#: Expected ones are counted in whole 2^-24ths, so that their sums do not depend on the order of adding.
_ONE = 1 << 24
_EXPECTED = np.rint(_DENSITIES * _ONE).astype(np.int64)
#: What speaks for the ratio 1 before anything is known, in ones.
_DOUBT = 3 * _ONE


def encode_evenly(bits: Bits, ones: int) -> bytes:
    """Code bits as independent ones of one density.

    Args:
        bits: [n], of which neither none nor all are set.
        ones: how many are set.
    """
    encoder = Encoder()
    encoder.encode(np.packbits(bits), eight_bits(ones / len(bits)))
    return encoder.to_bytes()


def decode_evenly(coded: memoryview, count: int, ones: int) -> Bits:
    """The bits back, [count].

    Raises:
        PackedError: the bytes are not such bits.
    """
    octets = Decoder(coded).decode(-(-count // 8), eight_bits(ones / count))
    return np.unpackbits(octets, count=count).view(np.bool_)


def encode_by_lines(bits: Bits, ones: int) -> bytes:
    """Code a matrix of bits, [rows, width], by the densities of its rows and columns."""
    encoder, lines = Encoder(), _Lines(bits.shape, ones)
    for rows, columns in lines.tiles():
        tile = bits[rows, columns]
        places, runs = lines.expected(rows, columns)
        octets = np.packbits(tile.ravel()[places])
        for run, level in runs:
            encoder.encode(octets[run], _MODELS[level])
        lines.learn(rows, columns, tile)
    return encoder.to_bytes()


def decode_by_lines(coded: memoryview, rows: int, width: int, ones: int) -> Bits:
    """The matrix of bits back, [rows, width].

    Raises:
        PackedError: the bytes are not such bits.
    """
    decoder, lines = Decoder(coded), _Lines((rows, width), ones)
    bits = np.empty((rows, width), np.bool_)
    for tall, wide in lines.tiles():
        tile = bits[tall, wide]
        places, runs = lines.expected(tall, wide)
        octets: list[Bytes] = [decoder.decode(run.stop - run.start, _MODELS[level]) for run, level in runs]
        flat = np.empty(tile.size, np.bool_)
        flat[places] = np.unpackbits(np.concatenate(octets), count=tile.size).view(np.bool_)
        tile[:] = flat.reshape(tile.shape)
        lines.learn(tall, wide, tile)
    return bits


class _Lines:
    """What is known of a matrix's rows and columns while it is coded; both sides keep the same."""

    def __init__(self, shape: tuple[int, ...], ones: int) -> None:
        rows, width = shape
        self._shape = rows, width
        self._level = int(np.searchsorted(-_DENSITIES, -ones / (rows * width)))
        self._rows = np.zeros((2, rows), np.int64)  # ones there have been, and ones there should have been
        self._columns = np.zeros((2, width), np.int64)
        self._levels: Bytes = np.empty(0, np.uint8)

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        """The tiles, as slices of rows and of columns."""
        rows, width = self._shape
        for tall in _cut(rows):
            for wide in _cut(width):
                yield tall, wide

    def expected(self, rows: slice, columns: slice) -> tuple[Counts, list[tuple[slice, int]]]:
        """In which order a tile's places are coded, densest first, and which runs of octets have which level."""
        above = _levels_of(self._rows[:, rows])[:, None] + _levels_of(self._columns[:, columns])
        self._levels = np.clip(self._level - above, 0, _LEVELS - 1).astype(np.uint8)
        places = np.argsort(self._levels, axis=None, kind="stable")
        of_octets = self._levels.ravel()[places[::8]]
        ends = [*(np.flatnonzero(np.diff(of_octets)) + 1).tolist(), len(of_octets)]
        runs = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        return places, [(run, int(of_octets[run.start])) for run in runs]

    def learn(self, rows: slice, columns: slice, tile: Bits) -> None:
        """Count a tile that was `expected` last."""
        expected = _EXPECTED[self._levels]
        self._rows[:, rows] += tile.sum(axis=1), expected.sum(axis=1)
        self._columns[:, columns] += tile.sum(axis=0), expected.sum(axis=0)


def _levels_of(lines: Counts) -> Counts:
    """How many levels denser than expected each line has been, [lines]."""
    found, expected = lines
    ratio = (found * _ONE + _DOUBT) / (expected + _DOUBT)
    above: Counts = np.searchsorted(_BETWEEN, ratio) - _MIDDLE
    return above


def _cut(length: int) -> list[slice]:
    """A side of a matrix in the sides of its tiles."""
    ends = np.cumsum([*_FIRST_SIDES, *[_SIDE] * (length // _SIDE + 1)])
    ends = np.unique(np.minimum(ends, length)).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
