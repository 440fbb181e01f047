"""Several teams at one queue: what tests of scheduling are told with."""

from collections.abc import Sequence

from sqlalchemy import update

from store import Database, NewJob, claim_next, create_job, ensure_team
from store.tables import Job, Team


def make_team(database: Database, name: str, **limits: float | None) -> str:
    """Make a team with limits and weight of its own; return its id."""
    with database.write() as session:
        team = ensure_team(session, name).id
        if limits:
            session.execute(update(Team).where(Team.id == team).values(**limits))
    return team


def submit_for(database: Database, team: str, *, max_queued: int | None = None, **wanted: object) -> str:
    """Queue a job of a team; return its id."""
    new = NewJob(method="movement", target_sparsity=0.9, spec={}, **wanted)  # type: ignore[arg-type]  # fields by name
    with database.write() as session:
        return create_job(session, team, new, max_queued=max_queued).job.id


def claim_id(database: Database, *, gpus: int = 1, in_all: int = 1, max_running: int | None = None) -> str | None:
    """Claim the next job of the default queue; return its id."""
    with database.write() as session:
        claim = claim_next(session, "default", "worker", 60.0, gpus=gpus, in_all=in_all, max_running=max_running)
    return claim.fence.job_id if claim else None


def claim_all(database: Database, *, max_running: int | None = None) -> list[str]:
    """Claim until nothing is eligible; return the ids in order."""
    claimed: list[str] = []
    while (job_id := claim_id(database, max_running=max_running)) is not None:
        claimed.append(job_id)
    return claimed


def expected_order(
    jobs: Sequence[tuple[str, str, int]], weights: dict[str, float], limits: dict[str, int | None]
) -> list[str]:
    """Take turns by hand, from jobs as (id, team, priority), oldest first, while nothing that runs ends."""
    waiting = list(jobs)
    running = dict.fromkeys(weights, 0)
    order: list[str] = []
    while True:
        free = [(limits[team] is None or running[team] < (limits[team] or 0)) for _, team, _ in waiting]
        turns = [
            (-priority, running[team] / weights[team], index)
            for index, ((_, team, priority), is_free) in enumerate(zip(waiting, free, strict=True))
            if is_free
        ]
        if not turns:
            return order
        job_id, team, _ = waiting.pop(min(turns)[2])
        running[team] += 1
        order.append(job_id)


def add_finished(database: Database, team: str, count: int, *, prefix: str = "job_old", **columns: object) -> None:
    """Add jobs that succeeded long ago, all at once."""
    fields = {
        "team_id": team, "tags": {}, "priority": 0, "queue": "default", "status": "succeeded", "method": "movement",
        "target_sparsity": 0.9, "spec": {}, "warnings": [], "attempt": 1, "crashes": 0, "max_attempts": 3,
        "max_runtime_s": 60.0, **columns,
    }  # fmt: skip
    with database.write() as session:
        session.bulk_insert_mappings(Job.__mapper__, [{"id": f"{prefix}{number}", **fields} for number in range(count)])
