"""Packing a model directory into one file, a block of a tensor at a time."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pruning_core.packed.coding import TEXTS, compress
from pruning_core.packed.files import WEIGHTS, files_of
from pruning_core.packed.frames import Frame, PackedError, varint, write_frame, write_start
from pruning_core.packed.kinds import BLOCK, CONTENTS, END, HEAD, HEADER
from pruning_core.packed.layout import LONGEST_HEADER, tensors_of
from pruning_core.packed.precision import Precision
from pruning_core.packed.values import encode_block

_PIECE = 4 << 20


def pack(
    directory: str | Path, file: str | Path, *, precision: Precision = "fp32", unpruned: Precision | None = None
) -> int:
    """Pack a model directory; the same directory gives the same bytes.

    Args:
        directory: what `save_pretrained` wrote: config, safetensors, tokenizer.
        file: written under a temporary name beside it, so that it is whole or not there.
        precision: how to keep what pruning left of matrices: `fp32` exact, whatever their type; `fp16` and `int8`
            rounded.
        unpruned: the same for matrices with less than a tenth of zeros, such as embeddings; default: as `precision`.
            Biases and norms are kept as fp16 where matrices are int8.

    Returns:
        The file's bytes.

    Raises:
        PackedError: the directory holds what cannot be packed.
    """
    directory, file = Path(directory), Path(file)
    names = files_of(directory)
    fresh = file.with_name(file.name + ".new")
    try:
        with fresh.open("wb") as stream:
            size = write_start(stream)
            for frame in _frames(directory, names, precision, unpruned or precision):
                size += write_frame(stream, frame)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    return size


def _frames(directory: Path, names: list[str], pruned: Precision, others: Precision) -> Iterator[Frame]:
    files = [{"name": name, "bytes": (directory / name).stat().st_size} for name in names]
    head = json.dumps({"precision": pruned, "unpruned": others, "files": files}, separators=(",", ":"))
    yield Frame(HEAD, _with_length(head.encode()))
    restored = hashlib.sha256()
    for name in names:
        with (directory / name).open("rb") as stream:
            if not name.endswith(WEIGHTS):
                while piece := stream.read(_PIECE):
                    restored.update(piece)
                    yield Frame(CONTENTS, _with_length(piece))
                continue
            header = _header(stream, name)
            restored.update(len(header).to_bytes(8, "little") + header)
            yield Frame(HEADER, _with_length(header))
            for tensor in tensors_of(header, os.fstat(stream.fileno()).st_size):
                for block in tensor.blocks():
                    coded = encode_block(stream.read(block.bytes), block, pruned, others)
                    restored.update(coded.restored)
                    yield Frame(BLOCK, coded.payload)
    yield Frame(END, restored.digest())


def _header(stream: BinaryIO, name: str) -> bytes:
    length = int.from_bytes(stream.read(8), "little")
    if length > LONGEST_HEADER:
        raise PackedError(f"{name} is no safetensors file: its header would be {length:,} bytes.")
    header = stream.read(length)
    if len(header) < length:
        raise PackedError(f"{name} is no safetensors file: it ends within its header.")
    return header


def _with_length(data: bytes) -> bytes:
    return varint(len(data)) + compress(data, TEXTS)
