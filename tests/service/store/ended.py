"""Jobs that have ended, with what they saved and left: what tests of retention are told with."""

from collections.abc import Sequence

from sqlalchemy import insert, select

from store import (
    Claim,
    Database,
    DatabaseBlobStore,
    Fence,
    JobError,
    JsonObject,
    NewArtifact,
    NewJob,
    NewLayer,
    checkpoints_of,
    claim_next,
    create_job,
    expire_files,
    finish_failed,
    finish_succeeded,
    jobs_past_keeping,
    list_artifacts,
    pin_job,
    publish_checkpoint,
)
from store.tables import Blob, Dataset, Model

DAY_S = 86_400.0


def inputs(database: Database, team: str, name: str) -> tuple[str, str]:
    """The ids of a dataset and a model of a team."""
    dataset, model = f"ds_{name}", f"mdl_{name}"
    of = {"team_id": team, "name": name}
    with database.write() as session:
        session.execute(insert(Dataset).values(id=dataset, format="csv", columns=[], preview=[], **of))
        session.execute(
            insert(Model).values(id=model, model_type="bert", config={}, tensors={}, parameters=0, size=0, **of)
        )
    return dataset, model


def begin(database: Database, team: str, to: tuple[str, str] | None = None, sparsity: float = 0.9) -> Fence:
    """Queue a job of a dataset and a model, and let a worker claim it."""
    dataset, model = to or (None, None)
    new = NewJob(method="movement", target_sparsity=sparsity, spec={}, dataset_id=dataset, model_id=model, priority=1)
    with database.write() as session:
        job_id = create_job(session, team, new).job.id
    claim = claim_any(database)
    assert claim is not None
    assert claim.fence.job_id == job_id
    return claim.fence


def claim_any(database: Database) -> Claim | None:
    """Claim the next job."""
    with database.write() as session:
        return claim_next(session, "default", "worker", 60.0)


def save(database: Database, fence: Fence, step: int) -> str:
    """Upload and publish a checkpoint; return its file's id."""
    blob = DatabaseBlobStore(database).write([f"{fence} at {step}".encode()])
    with database.write() as session:
        publish_checkpoint(session, fence, step, blob)
    return blob.id


def fail(database: Database, fence: Fence) -> str:
    """End a job with an error; return its id."""
    with database.write() as session:
        finish_failed(session, fence, JobError("data_error", "Row 7 has no label."))
    return fence.job_id


def succeed(database: Database, fence: Fence, quality: float | None = None, files: Sequence[str] = ()) -> str:
    """End a job with a result and files, each with its name as its content; return its id."""
    store = DatabaseBlobStore(database)
    artifacts = [
        NewArtifact(name, "model", "text/plain", store.write([name.encode()])) for name in (fence.job_id, *files)
    ]
    result: JsonObject = {"primary_metric": "f1", "eval": {"f1": quality, "loss": 1.0}}
    with database.write() as session:
        finish_succeeded(session, fence, result, artifacts, [NewLayer("layer.0", (2, 3), 4, 6)])
    return fence.job_id


def steps_saved(database: Database, job_id: str) -> list[int]:
    """The steps of a job's checkpoints, the newest first."""
    with database.read() as session:
        return [each.step for each in checkpoints_of(session, job_id)]


def names_left(database: Database, team: str, job_id: str) -> list[str]:
    """The names of a job's files."""
    with database.read() as session:
        return [each.name for each in list_artifacts(session, team, job_id)]


def blobs(database: Database) -> set[str]:
    """The ids of all files there are, whoever refers to them."""
    with database.read() as session:
        return set(session.scalars(select(Blob.id)))


def pin(database: Database, team: str, job_id: str, pinned: bool = True) -> None:
    """Pin a job, or let it go again."""
    with database.write() as session:
        pin_job(session, team, job_id, pinned=pinned)


def past_keeping(database: Database, best: int = 0, last: int = 0, ttl_s: float = DAY_S) -> list[str]:
    """The jobs whose files are due to go."""
    with database.read() as session:
        return list(jobs_past_keeping(session, ttl_s, keep_best=best, keep_last=last))


def expire(database: Database, job_id: str) -> bool:
    """Remove a job's files."""
    with database.write() as session:
        return expire_files(session, job_id)
