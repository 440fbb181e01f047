"""Reads the header of a safetensors file, and only that: names, types and shapes, checked against the file's size.

The format (github.com/huggingface/safetensors): 8 bytes of header length, little-endian; a JSON object from tensor
name to dtype, shape and byte range; then the data. We read it ourselves because the library wants the whole file on
disk or in memory, and because a refusal should say what is wrong.
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.bodies import is_storable

MAX_HEADER_BYTES = 16 << 20

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip


class BadSafetensors(ValueError):
    """The file is not one; the message says where it goes wrong."""


@dataclass(frozen=True)
class Tensor:
    """A tensor's type and shape, and where its bytes begin and end in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    dtype: str
    shape: list[int] = Field(max_length=8)
    data_offsets: tuple[int, int]


_METADATA = TypeAdapter(dict[str, str], config=ConfigDict(strict=True))


def read_header(stream: BinaryIO, size: int) -> Header:
    """Read and check a header.

    Args:
        stream: the file, positioned at its start; nothing beyond the header is read.
        size: of the whole file in bytes.

    Raises:
        BadSafetensors: The header is broken, or does not describe exactly the bytes that follow it.
    """
    prefix = stream.read(8)
    if len(prefix) < 8:
        raise BadSafetensors("the file is shorter than 8 bytes.")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER_BYTES:
        raise BadSafetensors(f"its header would be {length:,} bytes; {MAX_HEADER_BYTES:,} is the limit.")
    if 8 + length > size:
        raise BadSafetensors("it breaks off inside its header.")
    document = _parse(stream.read(length))
    try:
        metadata = _METADATA.validate_python(document.pop("__metadata__", {}))
    except ValidationError as error:
        raise BadSafetensors("its __metadata__ must map text to text.") from error
    if not all(is_storable(name) for name in document):
        raise BadSafetensors("a tensor's name holds a NUL character or half a character.")
    data = 8 + length
    tensors = {name: _tensor(name, entry, data) for name, entry in document.items()}
    _require_no_gaps(tensors, data, size)
    return Header(tensors, metadata)


def _parse(raw: bytes) -> dict[str, object]:
    try:
        document: object = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BadSafetensors(f"its header is not usable JSON: {error}.") from error
    if not isinstance(document, dict):
        raise BadSafetensors("its header is not a JSON object.")
    return document


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _tensor(name: str, entry: object, data: int) -> Tensor:
    try:
        found = _Entry.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        raise BadSafetensors(f"tensor {name[:100]!r} lacks a dtype, a shape or data_offsets, or has more.") from error
    if found.dtype not in _BITS:
        raise BadSafetensors(f"tensor {name[:100]!r} is of unknown dtype {found.dtype[:20]!r}.")
    start, end = found.data_offsets
    if any(size < 0 for size in found.shape) or end - start != prod(found.shape) * _BITS[found.dtype] // 8:
        raise BadSafetensors(f"tensor {name[:100]!r}: its shape and dtype do not fit its bytes.")
    return Tensor(found.dtype, tuple(found.shape), data + start, data + end)


def _require_no_gaps(tensors: dict[str, Tensor], data: int, size: int) -> None:
    """Tensors lie end to end from the header to the end of the file, as the format demands."""
    place = data
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != place:
            raise BadSafetensors(f"tensor {name[:100]!r} overlaps another or leaves a gap before it.")
        place = tensor.end
    if place != size:
        raise BadSafetensors(f"it has {size:,} bytes where its header describes {place:,}: cut off, or added to.")
