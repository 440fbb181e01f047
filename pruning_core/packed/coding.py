"""Entropy coding of bits, symbols and bytes, by libraries: a range coder of `constriction`'s, and zstd.

Both sides must compute the same probabilities to the last bit, on any machine. So these are formed by additions,
products and quotients of doubles alone, which IEEE 754 leaves no freedom.
"""

import math
from typing import Any

import constriction
import numpy as np
import zstandard
from numpy.typing import NDArray

from pruning_core.packed.frames import Cursor, PackedError, sized

Bytes = NDArray[np.uint8]

_QUEUE: Any = constriction.stream.queue
_MODEL: Any = constriction.stream.model
#: Numbers have no repetitions to find: what is gained by more work is nothing. Texts have.
NUMBERS, TEXTS = 1, 12
#: No decompression needs a longer memory than the longest frame.
_ZSTD_WINDOW = 1 << 26

#: How many bits each byte has set.
_SET_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)


def entropy(count: int, ones: int) -> float:
    """N·H(density): the fewest bits that tell `count` independent bits of which `ones` are set."""
    if ones in (0, count):
        return 0.0
    zeros = count - ones
    return ones * math.log2(count / ones) + zeros * math.log2(count / zeros)


def eight_bits(density: float) -> Any:
    """The model of a byte where each bit is set with the same probability, independently."""
    # By products: what a power function rounds to differs from machine to machine.
    chances = np.array([math.prod([density] * k + [1.0 - density] * (8 - k)) for k in range(9)])
    return _MODEL.Categorical(chances[_SET_BITS], perfect=False)


class Encoder:
    """Codes bytes, each by a model of how often it comes."""

    def __init__(self) -> None:
        self._encoder = _QUEUE.RangeEncoder()

    def encode(self, symbols: Bytes, model: Any) -> None:
        """Append some bytes."""
        self._encoder.encode(symbols.astype(np.int32), model)

    def to_bytes(self) -> bytes:
        """All that was coded."""
        return bytes(self._encoder.get_compressed().astype("<u4").tobytes())


class Decoder:
    """Gives back what an `Encoder` coded, asked with the same models."""

    def __init__(self, coded: memoryview) -> None:
        if len(coded) % 4:
            raise PackedError("Coded symbols in the file are cut off: it is damaged.")
        self._decoder = _QUEUE.RangeDecoder(np.frombuffer(coded, "<u4").astype(np.uint32))

    def decode(self, count: int, model: Any) -> Bytes:
        """The next bytes, [count].

        Raises:
            PackedError: what is left codes no such bytes.
        """
        try:
            symbols: NDArray[np.int32] = self._decoder.decode(model, count)
        except AssertionError as error:  # what constriction raises there
            raise PackedError("Coded symbols in the file cannot be decoded: it is damaged.") from error
        return symbols.astype(np.uint8)


def encode_symbols(symbols: Bytes) -> bytes:
    """Code symbols by how often each comes: a table of that, and the symbols.

    Args:
        symbols: [n], n > 0.
    """
    counts = np.bincount(symbols, minlength=256)
    # Square roots in a byte: as exact as counting can be, since a count of c says no more than c ± √c.
    table = np.ceil(np.sqrt(counts / counts.max()) * 255.0).astype(np.uint8)
    encoder = Encoder()
    encoder.encode(symbols, _by_table(table))
    return sized(compress(table.tobytes())) + encoder.to_bytes()


def decode_symbols(coded: memoryview, count: int) -> Bytes:
    """The symbols back, [count].

    Raises:
        PackedError: the bytes are not such symbols.
    """
    cursor = Cursor(coded)
    table = np.frombuffer(decompress(cursor.sized(), 256), np.uint8)
    if not table.any():
        raise PackedError("A table in the file is empty: it is damaged.")
    return Decoder(cursor.rest()).decode(count, _by_table(table))


def _by_table(table: Bytes) -> Any:
    weights = table.astype(np.float64)
    return _MODEL.Categorical(weights * weights, perfect=False)


def compress(data: bytes, level: int = NUMBERS) -> bytes:
    """The bytes, shorter by zstd where that helps: what is as long as the original *is* the original."""
    compressor = zstandard.ZstdCompressor(level, write_content_size=False, write_checksum=False)
    shorter = compressor.compress(data)
    return shorter if len(shorter) < len(data) else data


def decompress(coded: memoryview, count: int) -> bytes:
    """The `count` bytes back.

    Raises:
        PackedError: they are not so many, or no such bytes.
    """
    if len(coded) == count:
        return bytes(coded)
    try:
        if zstandard.frame_content_size(coded) not in (-1, count):
            raise PackedError("Compressed bytes in the file say another length: it is damaged.")
        data = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompress(
            coded, max_output_size=count, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise PackedError("Compressed bytes in the file cannot be read: it is damaged.") from error
    if len(data) != count:
        raise PackedError("Compressed bytes in the file are not as many as it says: it is damaged.")
    return data
