"""Applies the operator's retention policy: one job a transaction, and no longer in one round than others can wait."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from store import (
    Database,
    Settings,
    WriteSession,
    expire_checkpoints,
    expire_files,
    jobs_past_keeping,
    jobs_past_retry,
)

log = structlog.get_logger(__name__)

#: Lapsed leases are taken back between two rounds; they should not wait for gigabytes to be deleted.
_LONGEST_ROUND_S = 5.0


def apply_retention(database: Database, settings: Settings) -> None:
    """Remove what has been kept long enough, as far as one round goes; the next one goes on.

    Any number of reconcilers may do this at once.
    """
    until = time.monotonic() + _LONGEST_ROUND_S
    if (ttl_s := settings.checkpoint_ttl_s) is not None:
        with database.read() as session:
            past_retry = jobs_past_retry(session, ttl_s)
        _expire(database, past_retry, partial(expire_checkpoints, ttl_s=ttl_s), "checkpoints_expired", until)
    if settings.result_ttl_s is not None:
        with database.read() as session:
            past_keeping = jobs_past_keeping(
                session, settings.result_ttl_s, keep_best=settings.keep_best, keep_last=settings.keep_last
            )
        _expire(database, past_keeping, expire_files, "files_expired", until)


def _expire(
    database: Database, job_ids: Sequence[str], expire: Callable[[WriteSession, str], bool], event: str, until: float
) -> None:
    for job_id in job_ids:
        if time.monotonic() > until:
            return
        with database.write() as session:
            expired = expire(session, job_id)
        if expired:
            log.info(event, job=job_id)
