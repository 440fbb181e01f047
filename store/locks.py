"""Locks that others wait for: held for the few milliseconds of one decision."""

from functools import cache

from sqlalchemy import Select, bindparam, func, select

from store.engine import WriteSession
from store.tables import Team

_CLAIM = 0x5EC4_7E03
"""The advisory lock on PostgreSQL under which one worker at a time chooses a job."""


def lock_claims(session: WriteSession) -> None:
    """Let nobody else claim until the transaction ends.

    Whether a team is at its limit can be told only while nobody else is about to run one more of its jobs, and teams'
    own locks, taken by several claimers in different orders, could deadlock. A claim takes milliseconds, a job
    minutes: one at a time is enough.
    """
    if session.get_bind().dialect.name == "postgresql":  # SQLite lets one writer in at a time (`Database.write`)
        session.execute(select(func.pg_advisory_xact_lock(_CLAIM)))


def lock_team(session: WriteSession, team_id: str) -> Team | None:
    """Let nobody else submit for a team until the transaction ends, and return the team as it is now.

    The lock is one that readers, and rows that merely refer to the team, do not wait for.
    """
    return session.scalar(_team(), {"team_id": team_id})


@cache  # it takes longer to put together than to answer
def _team() -> Select[Team]:
    mine = select(Team).where(Team.id == bindparam("team_id"))
    return mine.with_for_update(key_share=True).execution_options(populate_existing=True)
