"""GET /v1/compare: jobs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api import tabular
from api.auth import Reader
from api.contract import problems_of
from api.dependencies import Here
from api.figures import figures_of
from api.ids import JobIdWord
from api.problems import FieldError, Invalid
from store import Attempt, Job, JobStatus, JsonObject, JsonValue, attempts_of, get_job

router = APIRouter(prefix="/v1/compare", tags=["jobs"])

MAX_JOBS = 20


class ComparedView(BaseModel):
    """What one of the jobs achieved."""

    job: str
    name: str | None
    status: JobStatus
    primary_metric: str | None
    quality: float | None = Field(description="The value of its `primary_metric`; more is better.")
    relative: float | None = Field(description="The same as a share of the dense model's.")
    eval: dict[str, float]
    dense_eval: dict[str, float]
    density: dict[str, float] = Field(description="Kept shares: `prunable`, `encoder`, `model`.")
    bytes: dict[str, float]
    runtime_s: float = Field(description="Seconds that workers have spent on it, all attempts together.")
    url: str


class ComparisonView(BaseModel):
    """Jobs side by side, in the order they were asked for."""

    differences: dict[str, list[object]] = Field(
        description="Fields of the resolved specs that are not the same for all, with dots for those inside: the value "
        "of each job, null where it has none."
    )
    jobs: list[ComparedView]


@router.get(
    "", responses={**tabular.RESPONSE, **problems_of(404)}, response_model=ComparisonView, summary="Compare jobs"
)
def get(
    here: Here,
    caller: Reader,
    job: Annotated[tuple[JobIdWord, ...], Query(min_length=2, max_length=MAX_JOBS, description="Once for each job.")],
    request: Request,
) -> ComparisonView | Response:
    """What differs between the specs of some jobs, and what came of it; with `Accept: text/csv` a row for each job."""
    if len(set(job)) < len(job):
        raise Invalid([FieldError("/query/job", "job: a job is named twice. Name each once.")])
    with here.database.read() as session:
        jobs = [get_job(session, caller.team_id, id_) for id_ in job]
        attempts = [attempts_of(session, caller.team_id, id_) for id_ in job]
    view = ComparisonView(
        differences=differences_of([each.spec for each in jobs]),
        jobs=[_compared_view(each, of) for each, of in zip(jobs, attempts, strict=True)],
    )
    return tabular.csv_response(_lines(view), "comparison") if tabular.is_wanted(request) else view


def differences_of(specs: Sequence[JsonObject]) -> dict[str, list[object]]:
    """The fields that are not the same in all specs, and of each the values, one for each spec."""
    flat = [dict(_fields(spec)) for spec in specs]
    names = dict.fromkeys(name for fields in flat for name in fields)
    values = {name: [fields.get(name) for fields in flat] for name in names}
    return {name: list(each) for name, each in values.items() if any(value != each[0] for value in each)}


def _fields(document: JsonObject, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _compared_view(job: Job, attempts: Sequence[Attempt]) -> ComparedView:
    figures = figures_of(job)
    spent = ((each.ended_at or each.heartbeat_at) - each.started_at for each in attempts)
    return ComparedView(
        job=job.id,
        name=job.name,
        status=job.status,
        primary_metric=figures.primary_metric,
        quality=figures.quality,
        relative=figures.relative,
        eval=dict(figures.evaluation),
        dense_eval=dict(figures.dense),
        density=dict(figures.density),
        bytes=dict(figures.sizes),
        runtime_s=sum(each.total_seconds() for each in spent),
        url=f"/v1/jobs/{job.id}",
    )


def _lines(view: ComparisonView) -> Iterator[dict[str, object]]:
    for index, each in enumerate(view.jobs):
        line: dict[str, object] = {"job": each.job, "name": each.name, "status": each.status}
        line |= {field: values[index] for field, values in view.differences.items()}
        yield line | dict(_fields(each.model_dump(exclude={"job", "name", "status", "url"})))
