"""Locks that others wait for: held for the few milliseconds of one decision, and never by somebody who is gone."""

from sqlalchemy import func, select

from store.engine import WriteSession
from store.tables import Team

_CLAIM = 0x5EC4_7E03
"""The advisory lock on PostgreSQL under which one worker at a time chooses a job."""

_LONGEST_SILENCE = "10s"


def lock_claims(session: WriteSession) -> None:
    """Let nobody else claim until the transaction ends.

    Whether a team is at its limit can be told only while nobody else is about to run one more of its jobs, and teams'
    own locks, taken by several claimers in different orders, could deadlock. A claim takes milliseconds, a job
    minutes: one at a time is enough.
    """
    if _locks_rows(session):
        _leave_if_silent(session)
        session.execute(select(func.pg_advisory_xact_lock(_CLAIM)))


def lock_team(session: WriteSession, team_id: str) -> Team | None:
    """Let nobody else submit for a team until the transaction ends, and return the team as it is now.

    The lock is one that readers, and rows that merely refer to the team, do not wait for.
    """
    if _locks_rows(session):
        _leave_if_silent(session)
    return session.scalar(
        select(Team).where(Team.id == team_id).with_for_update(key_share=True).execution_options(populate_existing=True)
    )


def _locks_rows(session: WriteSession) -> bool:
    """Whether locks are needed: SQLite lets one writer in at a time (`Database.write`)."""
    return session.get_bind().dialect.name == "postgresql"


def _leave_if_silent(session: WriteSession) -> None:
    """Let the server end the transaction of a host that was cut off or frozen: its locks would outlive it for hours."""
    session.execute(select(func.set_config("idle_in_transaction_session_timeout", _LONGEST_SILENCE, True)))
