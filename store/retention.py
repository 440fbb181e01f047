"""Retention: which files of ended jobs have been kept long enough, and their removal. The jobs themselves stay.

To be found is one thing and to be removed another, each job in a transaction of its own: the files of a hundred jobs
are so many bytes that nobody else could write for minutes. In between, any number of reconcilers may have found the
same job; the removal locks it and asks again.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, func, literal_column, select, update

from store.blobs import LONGEST_UPLOAD_S, release_blobs
from store.checkpoints import drop_checkpoints
from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.tables import Artifact, Checkpoint, Job

_AT_ONCE = 100


def jobs_past_retry(session: ReadSession, ttl_s: float) -> Sequence[str]:
    """Return ended jobs whose checkpoints have waited long enough for a retry, at most a hundred, oldest first.

    Only a job that failed has any: the others let theirs go as they end. A pinned job keeps them.
    """
    # A look at one job for each checkpoint, of which there are few. A join may be planned as a walk over all jobs.
    is_past = select(_is_past_retry(ttl_s)).where(Job.id == Checkpoint.job_id).scalar_subquery()
    return session.scalars(
        select(Checkpoint.job_id).where(is_past).distinct().order_by(Checkpoint.job_id).limit(_AT_ONCE)
    ).all()


def expire_checkpoints(session: WriteSession, job_id: str, ttl_s: float) -> bool:
    """Drop the checkpoints of a job that is past its retry; False, and nothing changed, if it is not, or busy.

    A job that tries it again has rows of its own, which keep the files that both refer to.
    """
    if _locked(session, job_id, _is_past_retry(ttl_s)):
        drop_checkpoints(session, job_id)
        return True
    return False


def jobs_past_keeping(session: ReadSession, ttl_s: float, *, keep_best: int = 1, keep_last: int = 1) -> Sequence[str]:
    """Return succeeded jobs whose files need not be kept any longer, at most a hundred, oldest first.

    Jobs compete if they are of the same team, model, dataset and target sparsity. Of these, as long as their files are
    there, the best by `Job.quality` and the last to end keep theirs, as does every pinned job. Of equally good ones
    the older is kept first, and those without a value last.

    Args:
        session: Where to read.
        ttl_s: How many seconds after a job's end nobody asks for a reason to keep its files.
        keep_best: How many of the best are kept even then.
        keep_last: How many of the latest are.
    """
    # A job whose input has no id is like no other.
    model, dataset = (func.coalesce(column, Job.id) for column in (Job.model_id, Job.dataset_id))
    group = (Job.team_id, model, dataset, Job.target_sparsity)
    best_first = (Job.quality.desc().nulls_last(), Job.created_at, Job.id)
    last_first = (Job.finished_at.desc(), Job.id.desc())
    ranked = (
        select(
            Job.id,
            Job.finished_at,
            Job.pinned,
            func.row_number().over(partition_by=group, order_by=best_first).label("by_quality"),
            func.row_number().over(partition_by=group, order_by=last_first).label("by_age"),
        )
        .where(_has_files())
        .subquery()
    )
    return session.scalars(
        select(ranked.c.id)
        .where(ranked.c.by_quality > keep_best, ranked.c.by_age > keep_last)
        .where(ranked.c.finished_at <= db_now(-ttl_s), ranked.c.pinned.is_(False))
        .order_by(ranked.c.finished_at)
        .limit(_AT_ONCE)
    ).all()


def expire_files(session: WriteSession, job_id: str) -> bool:
    """Remove the files of a job that `jobs_past_keeping` returned; False, and nothing changed, if it may keep them.

    Only what can have changed is asked again. That others are better and later is for good: those that are kept for it
    stay, and new ones only move a job further back.

    The same content may have been uploaded for a job that is about to refer to it; such files are left to the sweep.
    """
    if not _locked(session, job_id, and_(_has_files(), Job.pinned.is_(False))):
        return False
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(files_expired_at=db_now(), version=Job.version + 1, updated_at=db_now())
        .execution_options(synchronize_session=False)
    )
    gone = session.scalars(
        delete(Artifact)
        .where(Artifact.job_id == job_id)
        .returning(Artifact.blob_id)
        .execution_options(synchronize_session=False)
    ).all()
    release_blobs(session, gone, LONGEST_UPLOAD_S)
    return True


def _locked(session: WriteSession, job_id: str, condition: ColumnElement[bool]) -> bool:
    """Whether a job that meets a condition is ours until the transaction ends; not if somebody else is at it."""
    job = select(Job.id).where(Job.id == job_id, condition).with_for_update(skip_locked=True)
    return session.scalar(job) is not None


def _is_past_retry(ttl_s: float) -> ColumnElement[bool]:
    """True for unpinned jobs that ended so long ago; not for those that have not ended."""
    return and_(Job.finished_at.is_not(None), Job.finished_at <= db_now(-ttl_s), Job.pinned.is_(False))


def _has_files() -> ColumnElement[bool]:
    """True for succeeded jobs that still have their files, spelt as in the condition of `ix_job_with_files`."""
    return and_(Job.status == literal_column("'succeeded'"), Job.files_expired_at.is_(None))
