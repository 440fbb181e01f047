"""Reads what the database says happened, with SQL of its own, and finds every broken promise.

It shares no code with the store: what it believes about events, attempts and metrics is written here once more.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text

_TERMINAL = {"succeeded", "failed", "cancelled"}
#: The statuses of a job that nobody works on: an event that leads to one ends the attempt before it.
_WITHOUT_ATTEMPT = {"queued", "paused"} | _TERMINAL

Row = Mapping[str, Any]


@dataclass
class Verdict:
    """What was promised and not kept: for each job, in sentences.

    Attributes:
        lost: jobs that have not ended exactly once, or are not there.
        doubled: jobs that ended twice, ran twice at a time, or came twice from one request.
        wrong: jobs that ended otherwise than in peace.
    """

    lost: dict[str, str] = field(default_factory=dict)
    doubled: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> frozenset[str]:
        """Every job with which something is not as promised."""
        return frozenset(self.lost) | frozenset(self.doubled) | frozenset(self.wrong)


def audit(database_url: str, accepted: Collection[str], undisturbed: Collection[str] = ()) -> Verdict:
    """Judge every job of a database.

    Args:
        database_url: where it is.
        accepted: the ids of all jobs that a client was told are accepted.
        undisturbed: jobs of before, which are none of the client's.
    """
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect() as connection:
        jobs = {row["id"]: row for row in _rows(connection, "SELECT id, status, event_seq, attempt FROM job")}
        events = _by_job(connection, "SELECT job_id, seq, type, attempt, data FROM event ORDER BY job_id, seq")
        attempts = _by_job(
            connection, "SELECT job_id, number, started_at, ended_at FROM attempt ORDER BY job_id, number"
        )
        late = _rows(
            connection,
            "SELECT DISTINCT metric.job_id, metric.attempt FROM metric JOIN attempt "
            "ON attempt.job_id = metric.job_id AND attempt.number = metric.attempt WHERE metric.at > attempt.ended_at",
        )
    engine.dispose()
    verdict = Verdict()
    for job_id in set(accepted) - set(jobs):
        verdict.lost[job_id] = "It was accepted and is not in the database."
    for job_id in set(jobs) - set(accepted) - set(undisturbed):
        verdict.doubled[job_id] = "It is in the database, and no client was told so: one request made two jobs."
    for row in late:
        verdict.doubled[row["job_id"]] = f"Attempt {row['attempt']} measured something after its end."
    for job_id, job in jobs.items():
        _judge_ending(verdict, job, events[job_id])
        _judge_attempts(verdict, job, events[job_id], attempts[job_id])
    return verdict


def _judge_ending(verdict: Verdict, job: Row, events: Sequence[Row]) -> None:
    """One terminal event, the last of all, that says what the job says."""
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, job["event_seq"] + 1)):
        verdict.lost[job["id"]] = f"Its {job['event_seq']} events are numbered {numbers}."
    ends = [event for event in events if _status(event) in _TERMINAL]
    if not ends:
        verdict.lost[job["id"]] = f"It has not ended; it is {job['status']}."
    elif len(ends) > 1 or ends[0] is not events[-1]:
        verdict.doubled[job["id"]] = f"After its end came more: {[event['type'] for event in events]}."
    elif _status(ends[0]) != job["status"]:
        verdict.lost[job["id"]] = f"It is {job['status']}, and its last event says {_status(ends[0])}."


def _judge_attempts(verdict: Verdict, job: Row, events: Sequence[Row], attempts: Sequence[Row]) -> None:
    """The attempts one after the other, as the events tell it and as the attempts themselves do."""
    live: int | None = None
    for event in events:
        if event["type"] == "started":
            if live is not None:
                verdict.doubled[job["id"]] = f"Attempt {event['attempt']} started while {live} was live."
            live = event["attempt"]
        elif _status(event) in _WITHOUT_ATTEMPT:
            live = None
    for before, after in pairwise(attempts):
        if before["ended_at"] is None or before["ended_at"] > after["started_at"]:
            verdict.doubled[job["id"]] = f"Attempts {before['number']} and {after['number']} overlap."
    started = [event["attempt"] for event in events if event["type"] == "started"]
    numbers = [attempt["number"] for attempt in attempts]
    if not started == numbers == list(range(1, job["attempt"] + 1)):
        verdict.doubled[job["id"]] = f"It made {job['attempt']} attempts; started {started}, recorded {numbers}."


def _status(event: Row) -> str | None:
    """The status that an event leads to, if it changes it."""
    data = event["data"]
    document = json.loads(data) if isinstance(data, str) else data  # text on SQLite
    status = document.get("status")
    return None if status is None else str(status)


def _rows(connection: Connection, statement: str) -> list[Row]:
    return [dict(row) for row in connection.execute(text(statement)).mappings()]


def _by_job(connection: Connection, statement: str) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(connection, statement):
        found[row["job_id"]].append(row)
    return found
