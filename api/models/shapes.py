"""The tensor shapes of a stored model."""

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, TypeAdapter

from store import Model


class _Tensor(BaseModel):
    dtype: str
    shape: tuple[int, ...]


_TENSORS = TypeAdapter(dict[str, _Tensor])


@lru_cache(maxsize=64)  # a model that is kept in memory is asked several times for each job
def shapes_of(model: Model) -> Mapping[str, tuple[int, ...]]:
    """Tensor name → shape."""
    return {name: tensor.shape for name, tensor in _TENSORS.validate_python(model.tensors).items()}
