"""How tensors lie in a safetensors file, and how each is cut into blocks that fit into memory.

We read the header ourselves, since a packed file keeps its bytes as they are: what is unpacked is then the same file,
to the last bit. The format: 8 bytes of header length, little-endian; a JSON object from tensor name to dtype, shape and
byte range; then the data (github.com/huggingface/safetensors).
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pruning_core.packed.frames import PackedError

#: Items of a block at most: 16 MiB of fp32.
MOST_ITEMS = 1 << 22
LONGEST_HEADER = 16 << 20

_ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Some rows of a tensor, or a piece of one long row.

    Attributes:
        dtype: as safetensors calls it.
        rows: how many.
        width: items of a row.
        matrix: whether the tensor has rows at all: two dimensions or more.
    """

    dtype: str
    rows: int
    width: int
    matrix: bool

    @property
    def items(self) -> int:
        """Rows times width."""
        return self.rows * self.width

    @property
    def item_bytes(self) -> int:
        """Bytes of an item."""
        return _ITEM_BYTES[self.dtype]

    @property
    def bytes(self) -> int:
        """Bytes of all items."""
        return self.items * self.item_bytes


@dataclass(frozen=True)
class Tensor:
    """A tensor's name, type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How many its items take."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]

    def blocks(self) -> Iterator[Block]:
        """The tensor in blocks of whole rows, or of pieces where a row is longer than a block may be."""
        matrix = len(self.shape) > 1
        rows = self.shape[0] if matrix else 1
        width = math.prod(self.shape[1:] if matrix else self.shape)
        if rows * width == 0:
            return
        if width > MOST_ITEMS:
            for start in range(0, rows * width, MOST_ITEMS):
                yield Block(self.dtype, 1, min(MOST_ITEMS, rows * width - start), matrix)
            return
        tall = MOST_ITEMS // width
        for start in range(0, rows, tall):
            yield Block(self.dtype, min(tall, rows - start), width, matrix)


def tensors_of(header: bytes, size: int) -> list[Tensor]:
    """The tensors that a header describes, in the order of their bytes.

    Args:
        header: the JSON.
        size: of the whole file in bytes.

    Raises:
        PackedError: it is no such header, or describes other bytes than the file has.
    """
    try:
        document: object = json.loads(header)
        if not isinstance(document, dict):
            raise TypeError("it is no object")
        document.pop("__metadata__", None)
        placed = sorted((_placed(name, entry) for name, entry in document.items()), key=lambda each: each[:2])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PackedError(f"The header of its safetensors cannot be used: {error}.") from error
    place = 0
    for start, end, tensor in placed:
        if start != place or end - start != tensor.bytes:
            raise PackedError(f"The bytes of its tensor {tensor.name[:100]!r} overlap others, or leave a gap.")
        place = end
    if 8 + len(header) + place != size:
        raise PackedError("Its safetensors have more or fewer bytes than their header says.")
    return [tensor for _, _, tensor in placed]


def _placed(name: str, entry: dict[str, object]) -> tuple[int, int, Tensor]:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _ITEM_BYTES:
        raise ValueError(f"tensor {name[:100]!r} is of unknown dtype {str(dtype)[:20]!r}")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2 or len(shape) > 16:
        raise ValueError(f"tensor {name[:100]!r} has no shape or no place")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in (*shape, *offsets)):
        raise ValueError(f"tensor {name[:100]!r} has a shape or place that is no number")
    return offsets[0], offsets[1], Tensor(name, str(dtype), tuple(shape))
