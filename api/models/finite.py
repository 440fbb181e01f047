"""Looks at every weight once: a model with NaN or infinity in it cannot be trained, and a job would say so too late."""

from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from api.models.safetensors import Tensor
from api.pieces import PIECE_BYTES

#: By dtype: how a number is stored, and the bits of its exponent. All of them set means NaN or infinity.
_EXPONENTS = {"F32": ("<u4", 0x7F80_0000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}


def first_not_finite(stream: BinaryIO, tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a weight or bias that is not finite everywhere, or None.

    Args:
        stream: the file.
        tensors: what its header says.
    """
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
        if tensor.dtype in _EXPONENTS and name.endswith((".weight", ".bias")):
            stream.seek(tensor.start)
            if not _is_finite(stream, tensor):
                return name
    return None


def _is_finite(stream: BinaryIO, tensor: Tensor) -> bool:
    stored_as, exponent = _EXPONENTS[tensor.dtype]
    left = tensor.end - tensor.start
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        bits = np.frombuffer(piece, dtype=stored_as)
        if bool(((bits & exponent) == exponent).any()):
            return False
        left -= len(piece)
    return True
