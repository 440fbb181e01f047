"""What trainers print: the end of it is kept for each attempt."""

from collections.abc import Sequence

from sqlalchemy import select

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.errors import FenceLost
from store.fences import Fence
from store.jobs import get_job
from store.tables import Attempt, AttemptLog
from store.upserts import insert_into

#: Characters kept of each attempt's output.
LONGEST_LOG = 256 * 2**10


def keep_log(session: WriteSession, fence: Fence, text: str, printed: int) -> None:
    """Replace what is known of an attempt's output; also when it has ended, for its last words come after that.

    Each attempt has a log of its own, so that not even a zombie's could hide another's.

    Args:
        session: Committed by its owner.
        fence: The attempt whose trainer printed it.
        text: Its end; cut to the last `LONGEST_LOG` characters.
        printed: Bytes printed in all.

    Raises:
        FenceLost: There is no such attempt: its job was deleted.
    """
    attempt = select(Attempt.number).where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
    if session.scalar(attempt.with_for_update(key_share=True)) is None:
        raise FenceLost(fence.job_id, fence.attempt)
    # PostgreSQL keeps no NUL in a text.
    values = {"text": text[-LONGEST_LOG:].replace("\x00", "\ufffd"), "printed": printed, "updated_at": db_now()}
    row = insert_into(session, AttemptLog).values(job_id=fence.job_id, attempt=fence.attempt, **values)
    session.execute(row.on_conflict_do_update(index_elements=[AttemptLog.job_id, AttemptLog.attempt], set_=values))


def logs_of(session: ReadSession, team_id: str, job_id: str, attempt: int | None = None) -> Sequence[AttemptLog]:
    """Return what a job's attempts printed, oldest first.

    Args:
        session: Where to read.
        team_id: Whose job.
        job_id: Which job.
        attempt: Only this one.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    rows = select(AttemptLog).where(AttemptLog.job_id == job_id).order_by(AttemptLog.attempt)
    return session.scalars(rows if attempt is None else rows.where(AttemptLog.attempt == attempt)).all()
