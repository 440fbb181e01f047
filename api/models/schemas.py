"""Models as the outside sees them."""

from datetime import datetime
from math import prod

from pydantic import BaseModel, Field

from api.models.shapes import matrices_of
from pruning_core.architectures import max_tokens
from store import Model


class FileView(BaseModel):
    """One file of a model's directory."""

    path: str
    size: int
    sha256: str


class ModelView(BaseModel):
    """An uploaded model."""

    id: str
    uri: str = Field(description="What to give a job as `model`.")
    name: str
    source: str | None = Field(
        description="Where it was taken in from, with commit or sha256, for a job that named it there; null: uploaded."
    )
    model_type: str
    parameters: int = Field(description="Entries of all tensors.")
    prunable_parameters: int = Field(description="Those of them that a job may remove.")
    prunable_matrices: dict[str, tuple[int, ...]] = Field(
        description="Module name → shape (out, in). `pruning.modules` of a job is searched in these names."
    )
    max_length: int | None = Field(description="Longest input in tokens, where the model limits it.")
    size: int = Field(description="Bytes of all files.")
    files: list[FileView]
    created_at: datetime
    url: str


def model_view(model: Model) -> ModelView:
    """Show a model."""
    matrices = matrices_of(model)
    return ModelView(
        id=model.id,
        uri=f"upload://{model.id}",
        name=model.name,
        source=model.source,
        model_type=model.model_type,
        parameters=model.parameters,
        prunable_parameters=sum(prod(shape) for shape in matrices.values()),
        prunable_matrices=matrices,
        max_length=max_tokens(model.config),
        size=model.size,
        files=[FileView(path=file.path, size=file.size, sha256=file.sha256) for file in model.files],
        created_at=model.created_at,
        url=f"/v1/models/{model.id}",
    )
