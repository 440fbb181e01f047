"""The tensor shapes of a stored model."""

from pydantic import BaseModel, TypeAdapter

from store import Model


class _Tensor(BaseModel):
    dtype: str
    shape: tuple[int, ...]


_TENSORS = TypeAdapter(dict[str, _Tensor])


def shapes_of(model: Model) -> dict[str, tuple[int, ...]]:
    """Tensor name → shape."""
    return {name: tensor.shape for name, tensor in _TENSORS.validate_python(model.tensors).items()}
