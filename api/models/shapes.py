"""The tensors of a stored model, and which of them can be pruned. A model on the shelf is asked for each job."""

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, TypeAdapter

from pruning_core.architectures import prunable_matrices
from store import Model


class _Tensor(BaseModel):
    dtype: str
    shape: tuple[int, ...]


_TENSORS = TypeAdapter(dict[str, _Tensor])


@lru_cache(maxsize=64)
def shapes_of(model: Model) -> Mapping[str, tuple[int, ...]]:
    """Tensor name → shape."""
    return {name: tensor.shape for name, tensor in _TENSORS.validate_python(model.tensors).items()}


@lru_cache(maxsize=64)
def matrices_of(model: Model, pattern: str | None = None) -> Mapping[str, tuple[int, ...]]:
    """The prunable matrices that a pattern selects, or all: module name → shape, as `prunable_matrices` has them."""
    return prunable_matrices(model.model_type, shapes_of(model), pattern)
