"""Pictures of masks: how dense each part of a matrix is, read from the bit-packed masks.safetensors.

The worker writes one uint8 tensor per matrix, `numpy.packbits(mask.ravel(), bitorder="little")`, and the matrices'
shapes as JSON in the file's metadata.
"""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from api.models.safetensors import Header, read_header
from store import Artifact, BlobStore

ARTIFACT = "masks.safetensors"

_SHAPES = TypeAdapter(dict[str, tuple[int, int]])


def density_picture(blobs: BlobStore, masks: Artifact, layer: str, side: int) -> list[list[float]] | None:
    """The kept share in each cell of a grid of at most `side` × `side` laid over a layer's mask.

    Args:
        blobs: where the file is.
        masks: the artifact `masks.safetensors`; only its header and one layer are read.
        layer: the matrix's name.
        side: most cells along a side.

    Returns:
        None where the file has no such layer.
    """
    header = _header(blobs, masks)
    tensor = header.tensors.get(layer)
    shape = _SHAPES.validate_json(header.metadata["shapes"]).get(layer)
    if tensor is None or shape is None:
        return None
    packed = np.frombuffer(_joined(blobs.read(masks.blob_id, tensor.start, tensor.end)), dtype=np.uint8)
    mask = np.unpackbits(packed, bitorder="little", count=shape[0] * shape[1]).reshape(shape)
    return averaged(mask, side)


def averaged(mask: NDArray[np.uint8], side: int) -> list[list[float]]:
    """The mean of a [rows, cols] mask over the cells of a grid of at most `side` × `side`."""
    edges = [np.arange(min(side, length)) * length // min(side, length) for length in mask.shape]
    sums = np.add.reduceat(np.add.reduceat(mask, edges[0], axis=0, dtype=np.int64), edges[1], axis=1)
    heights, widths = (np.diff(edge, append=length) for edge, length in zip(edges, mask.shape, strict=True))
    shares: list[list[float]] = np.round(sums / np.outer(heights, widths), 4).tolist()
    return shares


def _header(blobs: BlobStore, masks: Artifact) -> Header:
    prefix = _joined(blobs.read(masks.blob_id, 0, 8))
    length = int.from_bytes(prefix, "little")
    raw = _joined(blobs.read(masks.blob_id, 0, 8 + length))
    return read_header(io.BytesIO(raw), masks.size)


def _joined(pieces: Iterator[bytes]) -> bytes:
    return b"".join(pieces)
