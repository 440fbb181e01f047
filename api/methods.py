"""GET /v1/methods: the pruning methods and their parameters."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Reader
from pruning_core.spec import describe_methods

router = APIRouter(prefix="/v1/methods", tags=["methods"])


class MethodView(BaseModel):
    """A pruning method."""

    name: str = Field(description="What to give a job as `method`.")
    summary: str
    source: str = Field(description="Where it is described.")
    order: int = Field(
        description="What it reads of the loss's expansion: 0 weights alone, 1 gradients, 2 curvature. Of single "
        "weights, order 0 is best above about 70 % density, order 1 below about 15 %."
    )
    learns_scores: bool = Field(description="Whether it trains a score per weight.")
    scopes: list[str] = Field(description="Values of `pruning.scope` that go with it, its default first.")
    granularities: list[str] = Field(description="Values of `pruning.granularity` that go with it, its default first.")
    schedule_shapes: list[str] = Field(
        description="Values of `pruning.schedule.shape` that go with it, its default first (untrained: `one_shot`)."
    )
    default_schedule_shape: str | None = Field(
        description="`pruning.schedule.shape` where a spec that trains names none; null where its rounds are its own."
    )
    default_epochs: float = Field(description="`training.epochs` where the spec names none.")
    works_untrained: bool = Field(description="Whether it can prune with `training.epochs` 0.")
    parameters: dict[str, dict[str, object]] = Field(description="JSON Schema of each of `pruning.params`.")


class MethodsView(BaseModel):
    """All methods."""

    data: list[MethodView]


@router.get("", summary="List pruning methods")
def get_list(_: Reader) -> MethodsView:
    """Every method with its parameters and their defaults."""
    return MethodsView(data=[MethodView.model_validate(method) for method in describe_methods()])
