"""Checks that the weights are those of the configured model: embeddings, layers, and matrices to prune."""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError

from api.models.configuration import Configuration
from api.models.layouts import LAYOUTS, layer_matrices
from api.models.safetensors import Tensor
from pruning_core.architectures import ARCHITECTURES, prunable_matrices

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_FLOATS = frozenset({"F32", "F16", "BF16"})
_LAYER = re.compile(r"\.(\d+)\.")

#: Families whose positions may be relative only.
_RELATIVE = frozenset({"deberta-v2"})


class BadWeights(ValueError):
    """The weights cannot be taken; the message says what to do."""


class _Index(BaseModel):
    model_config = ConfigDict(strict=True)

    weight_map: dict[str, str]


def joined(files: Mapping[str, Mapping[str, Tensor]], index: bytes | None) -> dict[str, Tensor]:
    """The tensors of all weight files together.

    Args:
        files: file name → its tensors.
        index: model.safetensors.index.json, where the weights are sharded.

    Raises:
        BadWeights: Files and index do not belong together.
    """
    if index is None:
        if set(files) != {SINGLE}:
            raise BadWeights(f"Weights in {', '.join(sorted(files))}: name a single file {SINGLE}, or add {INDEX}.")
        return dict(files[SINGLE])
    try:
        weight_map = _Index.model_validate_json(index).weight_map
    except ValidationError as error:
        raise BadWeights(f"{INDEX} has no weight_map from tensor names to file names.") from error
    if missing := sorted(set(weight_map.values()) - set(files)):
        raise BadWeights(f"{INDEX} names files that are not there: {', '.join(missing[:5])}. Upload them too.")
    if unnamed := sorted(set(files) - set(weight_map.values())):
        raise BadWeights(f"{INDEX} does not name {', '.join(unnamed[:5])}. Leave out what does not belong.")
    for tensor, file in weight_map.items():
        if tensor not in files[file]:
            raise BadWeights(f"{INDEX} says that {tensor[:100]!r} is in {file}, and it is not. Save the model again.")
    return {name: tensor for tensors in files.values() for name, tensor in tensors.items()}


def check_weights(tensors: Mapping[str, Tensor], configuration: Configuration) -> None:
    """Check the weights against the configuration.

    Raises:
        BadWeights: They are of other types or sizes, or parts are missing.
    """
    for name, tensor in tensors.items():
        if name.endswith((".weight", ".bias")) and tensor.dtype not in _FLOATS:
            raise BadWeights(f"Tensor {name[:100]!r} is {tensor.dtype}. Save the model in F32, F16 or BF16.")
    prefix = ARCHITECTURES[configuration.model_type].base_prefix + "."
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    _check_embeddings(named, configuration, prefix)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    matrices = prunable_matrices(configuration.model_type, shapes)
    if not matrices:
        raise BadWeights(
            f"There is no matrix to prune: no tensor is named like a layer of {configuration.model_type!r}. Check "
            "that weights and config.json belong together."
        )
    if empty := [name for name, shape in matrices.items() if prod(shape) == 0]:
        raise BadWeights(f"The matrix {empty[0]!r} has no entries. Save the model again.")
    _check_layers(list(matrices), configuration.layers)
    _check_matrices(named, configuration, prefix)
    _check_positions(named, configuration)


def _check_embeddings(named: Mapping[str, Tensor], configuration: Configuration, prefix: str) -> None:
    layout = LAYOUTS[configuration.model_type]
    words = named.get(layout.words) or named.get(layout.tied or "")
    if words is None:
        elsewhere = next((name for name in named if name.endswith("." + layout.words)), None)
        if elsewhere is not None:
            raise BadWeights(
                f"The word embeddings are called {elsewhere[:100]!r}, and transformers looks for them under "
                f"{prefix + layout.words!r} with or without {prefix!r}. Rename the tensors, or save the model with "
                "model.save_pretrained(folder)."
            )
        raise BadWeights(f"The word embeddings are missing (…{layout.words}). Upload the whole model.")
    _require_shape("word embeddings", words, (configuration.vocab_size, configuration.embedding_size))


def _check_positions(named: Mapping[str, Tensor], configuration: Configuration) -> None:
    layout = LAYOUTS[configuration.model_type]
    limit = ARCHITECTURES[configuration.model_type].position_limit
    positions = named.get(layout.positions or "")
    if positions is not None and limit is not None:
        rows = cast(int, configuration.document[limit])
        _require_shape("position embeddings", positions, (rows, configuration.embedding_size))
    elif layout.positions is not None and configuration.model_type not in _RELATIVE:
        raise BadWeights(f"The position embeddings are missing (…{layout.positions}). Upload the whole model.")
    types = named.get(layout.types)
    if types is not None:
        rows = cast(int, configuration.document.get("type_vocab_size", 2))
        _require_shape("token type embeddings", types, (rows, configuration.embedding_size))


def _require_shape(what: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tensor.shape != expected:
        raise BadWeights(
            f"The {what} are {_times(tensor.shape)}, and config.json says {_times(expected)}. Check that weights and "
            "config.json belong together."
        )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _check_layers(modules: Sequence[str], expected: int) -> None:
    layers = {int(found.group(1)) for module in modules if (found := _LAYER.search(module))}
    if layers != set(range(expected)):
        raise BadWeights(
            f"The weights hold {len(layers)} encoder layers, and config.json says {expected}. Upload all weight "
            "files, and the config.json that belongs to them."
        )


def _check_matrices(named: Mapping[str, Tensor], configuration: Configuration, prefix: str) -> None:
    # an encoder alone is enough to tag tokens: tasks_of() says so to the jobs
    decoder = any(name.startswith("decoder.") for name in named)
    for name, shape in layer_matrices(configuration, decoder=decoder):
        tensor = named.get(name)
        if tensor is None:
            raise BadWeights(
                f"The matrix {prefix + name!r} is missing. Upload all weight files, named as "
                f"model.save_pretrained(folder) names the tensors of {configuration.model_type!r}."
            )
        _require_shape(f"weights {prefix + name!r}", tensor, shape)
