"""From a model to a packed file and from a packed file to a model: what needs torch and transformers."""

import tempfile
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.classes import UnknownClass, class_of
from pruning_core.packed.frames import PackedError
from pruning_core.packed.packing import pack
from pruning_core.packed.precision import Precision
from pruning_core.packed.unpacking import unpack


def save_packed(
    model: PreTrainedModel | str | Path,
    file: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    precision: Precision = "fp32",
    unpruned: Precision | None = None,
) -> int:
    """Pack a model, or a model's directory as it is.

    Args:
        model: a model, or a directory that `save_pretrained` wrote.
        file: what is written.
        tokenizer: goes with a model; a directory has its own.
        precision: how to keep what pruning left of matrices: `fp32` exact, `fp16` or `int8` rounded.
        unpruned: the same for other matrices, such as embeddings; default: as `precision`.

    Returns:
        The file's bytes.

    Raises:
        PackedError: the directory holds what cannot be packed.
    """
    if not isinstance(model, PreTrainedModel):
        return pack(model, file, precision=precision, unpruned=unpruned)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        if tokenizer is not None:
            tokenizer.save_pretrained(scratch)
        return pack(scratch, file, precision=precision, unpruned=unpruned)


def load_packed(file: str | Path, *, most_bytes: int | None = None) -> PreTrainedModel:
    """Load a packed model with stock transformers, of the class that its config names, in eval mode.

    Args:
        file: what `save_packed` wrote, or a job's `model.packed`.
        most_bytes: as `unpack` has it; so much room is needed in the folder for temporary files.

    Raises:
        PackedError: it is no packed model, damaged, or of no class that transformers has.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "model"
        unpack(file, directory, most_bytes=most_bytes)
        try:
            found = class_of(directory)
        except UnknownClass as error:
            raise PackedError(str(error)) from error
        model: PreTrainedModel = found.from_pretrained(
            directory, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
    model.train(mode=False)
    return model
