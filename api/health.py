"""GET /healthz and /readyz: for those who start, watch and balance the service. They need no key."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.dependencies import Here, Services
from store import DATABASE_AWAY

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Checks(BaseModel):
    """What was found, one by one."""

    database: Literal["ok", "away", "behind"] = Field(description="`behind`: run `python -m store.migrate`.")
    broker: Literal["ok", "away"] = Field(description="Without it jobs wait for the reconciler's next round.")
    workers: int | None = Field(description="Workers that answered just now; null while the broker is away.")


class Readiness(BaseModel):
    """Whether requests can be served, and whether jobs would run."""

    status: Literal["ready", "degraded", "unavailable"] = Field(
        description="`degraded`: jobs are accepted and kept, and run when broker and workers are back."
    )
    checks: Checks


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Alive:  # not in a thread: those may all be waiting for the database
    """Answers as long as the process serves requests at all; looks at nothing else."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Readiness}}, summary="Can it serve?")
def readyz(here: Here, response: Response) -> Readiness:
    """Looks at the database, the broker and the workers.

    503 only where requests cannot be served, that is without a database at the newest schema: broker and workers are
    not needed to accept a job, and a balancer should not turn clients away for them.
    """
    broker = here.bell.broker_answers()
    checks = Checks(
        database=_database(here),
        broker="ok" if broker else "away",
        workers=here.bell.workers() if broker else None,
    )
    if checks.database != "ok":
        response.status_code = 503
        response.headers["Retry-After"] = "5"
        return Readiness(status="unavailable", checks=checks)
    return Readiness(status="ready" if checks.workers else "degraded", checks=checks)


def _database(here: Services) -> Literal["ok", "away", "behind"]:
    from store.migrate import is_current  # late: alembic takes a tenth of the service's start

    try:
        return "ok" if is_current(here.database) else "behind"
    except DATABASE_AWAY:
        return "away"
