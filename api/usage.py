"""GET /v1/usage: what a team has used, by day."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Admin
from api.dependencies import Here
from api.problems import FieldError, Invalid
from api.times import Day
from store import JobStatus
from store.usage import Usage, jobs_by_status, present, stored_bytes, total_of, usage_by_day

router = APIRouter(prefix="/v1/usage", tags=["usage"])

MOST_DAYS, UNLESS_TOLD = 366, 30

_ENDS = ("submitted", "succeeded", "failed", "cancelled")


class UsedView(BaseModel):
    """What was used in some time."""

    jobs: dict[str, int] = Field(description="How many were `submitted`, and ended `succeeded`, `failed`, `cancelled`.")
    trainer_s: float = Field(description="Seconds in which attempts ran.")
    gpu_s: float = Field(description="The same, each times the GPUs of its job; a worker without any counts as one.")
    steps: int = Field(
        description="Optimizer steps, counted on the day of the job's end; of an unfinished one, of its last progress. "
        "What a retry took over counts once."
    )


class DayView(UsedView):
    """What was used on one day."""

    day: date = Field(description="In UTC.")


class StoredView(BaseModel):
    """Bytes of the team's files now, before compression."""

    unique: int = Field(description="Each content once.")
    referenced: dict[str, int] = Field(
        description="By what refers to them: `datasets`, `models`, `artifacts`, `checkpoints`; as often as it does."
    )


class UsageView(BaseModel):
    """A team's use of the service. Jobs that were deleted no longer count."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    total: UsedView
    days: list[DayView]
    jobs_by_status: dict[JobStatus, int] = Field(description="All of the team's jobs, as they are now.")
    stored: StoredView


@router.get("", summary="What a team has used")
def get(
    here: Here,
    caller: Admin,
    first: Annotated[Day | None, Query(alias="from", description="First day, in UTC.")] = None,
    last: Annotated[Day | None, Query(alias="to", description="Last day, included; today unless told.")] = None,
) -> UsageView:
    """Jobs, seconds of trainers and GPUs, and steps by day, with the bytes that are kept now."""
    with here.database.read() as session:
        last = last or present(session).date()
        first = first or max(last, date.min + timedelta(UNLESS_TOLD)) - timedelta(UNLESS_TOLD - 1)
        if last < first:
            raise Invalid([FieldError("/query/from", "from: it is after `to`. Give them the other way round.")])
        if (last - first).days >= MOST_DAYS or last == date.max:
            raise Invalid([FieldError("/query/from", f"from: give a day at most {MOST_DAYS - 1} days before `to`.")])
        days = usage_by_day(session, caller.team_id, first, last)
        stored = stored_bytes(session, caller.team_id)
        return UsageView.model_validate(
            {
                "from": first,
                "to": last,
                "total": _used(total_of(list(days.values()))),
                "days": [{"day": day, **_used(usage)} for day, usage in days.items()],
                "jobs_by_status": jobs_by_status(session, caller.team_id),
                "stored": {"unique": stored.unique, "referenced": stored.referenced},
            }
        )


def _used(usage: Usage) -> dict[str, object]:
    return {
        "jobs": {end: usage.jobs[end] for end in _ENDS},
        "trainer_s": round(usage.trainer_s, 3),
        "gpu_s": round(usage.gpu_s, 3),
        "steps": usage.steps,
    }
