"""What others make of a pruned encoder, in bytes: as published, or by their own package."""

import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors.numpy import save_file

Weights = dict[str, NDArray[np.float32]]

#: The last release with the format; it asks for an older transformers, which its bitmask does not use.
BITMASK = ["compressed-tensors==0.14.0", "loguru==0.7.3"]
ZSTD_LEVEL = 19
_BITMASK_BYTES = """
import sys
from safetensors.torch import load_file
from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskTensor
print(sum(BitmaskTensor.from_dense(matrix).curr_memory_size_bytes() for matrix in load_file(sys.argv[1]).values()))
"""


def install_peers(folder: Path) -> None:
    """Put the peers' packages into a folder of their own, once."""
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *BITMASK]
        subprocess.run(command, check=True)


def csr_int8_gzip(encoder: Weights, _: Path) -> int:
    """Sanh et al.'s own: int8 with one step a matrix, compressed sparse rows in the smallest integers, each gzipped.

    Source: `Saving_PruneBERT.ipynb` of huggingface/transformers-research-projects.
    """
    size = 0
    for tensor in encoder.values():
        if tensor.ndim < 2:
            size += len(gzip.compress(tensor.tobytes(), 9))
            continue
        symbols = _int8(tensor)
        rows, columns = np.nonzero(symbols)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(symbols)))])
        for array in (symbols[rows, columns], _smallest(columns), _smallest(starts)):
            size += len(gzip.compress(array.tobytes(), 9))
        size += 4
    return size


def sparse_bitmask_int8(encoder: Weights, folder: Path) -> int:
    """compressed-tensors' `sparse-bitmask` of the int8 weights: a bit for each weight, values, offsets of rows."""
    matrices = {name: _int8(tensor) for name, tensor in encoder.items() if tensor.ndim == 2}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "int8.safetensors"
        save_file(matrices, file)
        done = subprocess.run(
            [sys.executable, "-c", _BITMASK_BYTES, str(file)],
            env=os.environ | {"PYTHONPATH": str(folder)},
            check=True,
            capture_output=True,
            text=True,
        )
    return int(done.stdout.split()[-1]) + sum(tensor.nbytes for tensor in encoder.values() if tensor.ndim < 2)


def zstd_dense(encoder: Weights, _: Path) -> int:
    """The dense fp32 tensors as they are, behind zstd."""
    dense = b"".join(tensor.tobytes() for tensor in encoder.values())
    return len(zstandard.ZstdCompressor(ZSTD_LEVEL).compress(dense))


def _int8(tensor: NDArray[np.float32]) -> NDArray[np.int8]:
    step = np.abs(tensor).max() / 127.0
    return np.rint(tensor / step).astype(np.int8) if step else np.zeros(tensor.shape, np.int8)


def _smallest(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))
