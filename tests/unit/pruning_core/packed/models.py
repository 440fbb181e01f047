"""Model directories to pack, made of whatever tensors a test wants."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pruning_core.packed.frames import Frame, read_frames, write_frame, write_start
from pruning_core.packed.packing import pack
from pruning_core.packed.precision import Precision
from pruning_core.packed.unpacking import unpack


def directory_of(tensors: dict[str, Tensor], directory: Path) -> Path:
    """A directory with these weights, and what else a model has."""
    directory.mkdir(parents=True)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    (directory / "config.json").write_text('{"architectures": ["BertModel"]}\n', encoding="utf-8")
    (directory / "vocab.txt").write_text("", encoding="utf-8")
    return directory


def round_trip(directory: Path, precision: Precision = "fp32", unpruned: Precision | None = None) -> Path:
    """Pack a directory and unpack it beside itself."""
    file, restored = directory.with_suffix(".packed"), directory.with_name(f"{directory.name}-{precision}-{unpruned}")
    pack(directory, file, precision=precision, unpruned=unpruned)
    unpack(file, restored)
    return restored


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def sparse(shape: tuple[int, ...], density: float, seed: int = 0) -> Tensor:
    """Normal numbers, of which so many are kept."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape) * (generator.random(shape) < density)
    return torch.from_numpy(values.astype(np.float32))


def frames_of(file: Path) -> list[Frame]:
    """The frames of a packed file."""
    with file.open("rb") as stream:
        return list(read_frames(stream, file.stat().st_size))


def write_frames(file: Path, frames: list[Frame]) -> Path:
    """A packed file of these frames, with right checksums whatever they hold."""
    with file.open("wb") as stream:
        write_start(stream)
        for frame in frames:
            write_frame(stream, frame)
    return file
