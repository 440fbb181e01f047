"""GET /v1/methods: the pruning methods and their parameters."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Reader
from api.documentation import problems_of
from pruning_core.spec import describe_methods

router = APIRouter(prefix="/v1/methods", tags=["methods"], responses=problems_of(401, 403, 422))


class MethodView(BaseModel):
    """A pruning method."""

    name: str = Field(description="What to give a job as `method`.")
    summary: str
    source: str = Field(description="Where it is described.")
    learns_scores: bool = Field(description="Whether it trains a score per weight.")
    parameters: dict[str, object] = Field(description="JSON Schema of each of `pruning.params`.")


class MethodsView(BaseModel):
    """All methods."""

    data: list[MethodView]


@router.get("", summary="List pruning methods")
def get_list(_: Reader) -> MethodsView:
    """Every method with its parameters and their defaults."""
    return MethodsView(data=[MethodView.model_validate(method) for method in describe_methods()])
