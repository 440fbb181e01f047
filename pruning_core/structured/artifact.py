"""A smaller model on disk: `config.json` of the dense one, `architecture.json` with what is left, and safetensors."""

from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.classes import UnknownClass, class_of
from pruning_core.structured.blocks import Kept, NotReducible, blocks_of, narrow

DESCRIPTION = "architecture.json"
WEIGHTS = "model.safetensors"


class StructuredError(ValueError):
    """The directory holds no structured model that can be loaded."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _BlockDescription(_Part):
    heads: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    neurons: int = Field(ge=1)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.heads != sorted(set(self.heads)):
            raise ValueError("heads must be numbers in ascending order, each once.")
        return self


class _Description(_Part):
    format: Literal["secateur-structured"] = "secateur-structured"
    version: Literal[1] = 1
    blocks: dict[str, _BlockDescription]


def save_structured(
    model: PreTrainedModel,
    kept: dict[str, Kept],
    directory: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """Write a smaller model.

    Args:
        model: as `remove_dead` gives it; or trained further since.
        kept: what is left of each of its blocks, as `remove_dead` gives it.
        directory: created.
        tokenizer: written beside it.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(directory)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    blocks = {name: _BlockDescription(heads=list(left.heads), neurons=left.neurons) for name, left in kept.items()}
    text = _Description(blocks=blocks).model_dump_json(indent=2)
    (directory / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    save_model(model, str(directory / WEIGHTS), {"format": "pt"})


def load_structured(directory: str | Path, *, attn_implementation: str | None = None) -> PreTrainedModel:
    """Load a smaller model: of the class of transformers that its config names, in eval mode, ready to train further.

    It is an ordinary model of that class with narrower layers, all of it on the CPU. No code is in the directory, and
    none is run; no pickle is read. To save it again, use `save_structured` with `kept_of`.

    Args:
        directory: what `save_structured` wrote, or a job's `structured/`.
        attn_implementation: as in `from_pretrained`; default: transformers'.

    Raises:
        StructuredError: it is none, damaged, or of a class that transformers does not have.
    """
    directory = Path(directory)
    kept = kept_of(directory)
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
        model: PreTrainedModel = class_of(directory)._from_config(
            config, attn_implementation=attn_implementation, dtype=torch.float32
        )
        _check(model, kept)
        narrow(model, kept)
        load_model(model, str(directory / WEIGHTS), strict=True)
    except (UnknownClass, NotReducible, SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise StructuredError(f"{directory} holds no structured model that can be loaded: {error}") from error
    model.train(mode=False)
    return model


def kept_of(directory: str | Path) -> dict[str, Kept]:
    """What is left of each block, as a directory's `architecture.json` says.

    Raises:
        StructuredError: there is none, or it says something else.
    """
    path = Path(directory) / DESCRIPTION
    try:
        description = _Description.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StructuredError(f"{path} describes no structured model: {error}") from error
    return {name: Kept(tuple(block.heads), block.neurons) for name, block in description.blocks.items()}


def _check(model: PreTrainedModel, kept: dict[str, Kept]) -> None:
    """Whether a description is one of a part of the dense model.

    Raises:
        ValueError: it is not.
    """
    blocks = blocks_of(model)
    if blocks.keys() != kept.keys():
        raise ValueError(f"{DESCRIPTION} has {len(kept)} blocks, and config.json {len(blocks)}, or others.")
    for name, block in blocks.items():
        if kept[name].heads[-1] >= block.heads or kept[name].neurons > block.neurons:
            raise ValueError(f"{DESCRIPTION} leaves more of block {name!r} than config.json has.")
