"""Reads the whole database: as rows to compare, as the records that a ledger keeps, and with an eye on the promises."""

from collections.abc import Mapping
from itertools import groupby

from sqlalchemy import RowMapping, select

from store import ACTIVE, TERMINAL, Attempt, Database, Event, Job, JobStatus, Metric
from tests.service.store.ledger import AttemptRecord, EventRecord, JobRecord

Rows = Mapping[str, list[RowMapping]]


# built once, and read without an ORM: this is asked twice after every step
_TABLES = {
    entity.__tablename__: select(entity.__table__).order_by(*entity.__table__.primary_key)
    for entity in (Job, Attempt, Event, Metric)
}


def everything(database: Database) -> Rows:
    """Return all rows about jobs, by table, in one order."""
    with database.engine.connect() as connection:
        return {name: list(connection.execute(rows).mappings()) for name, rows in _TABLES.items()}


def records(rows: Rows) -> dict[str, JobRecord]:
    """Return what a ledger of these jobs would say."""
    jobs = {
        row["id"]: JobRecord(
            priority=row["priority"],
            most=row["max_attempts"],
            max_runtime_s=row["max_runtime_s"],
            status=row["status"],
            crashes=row["crashes"],
            step=row["step"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            not_before=row["not_before"],
        )
        for row in rows["job"]
    }
    for row in rows["attempt"]:
        job = jobs[row["job_id"]]
        job.attempts.append(
            AttemptRecord(
                worker=row["worker"],
                heartbeat_at=row["heartbeat_at"],
                lease_expires_at=row["lease_expires_at"],
                deadline_at=row["deadline_at"],
                ended_at=row["ended_at"],
                outcome=row["outcome"],
            )
        )
    for row in rows["event"]:
        status = row["data"].get("status")
        jobs[row["job_id"]].events.append(
            EventRecord(row["type"], row["at"], row["attempt"], JobStatus(status) if status else None)
        )
    return jobs


class Promises:
    """What must hold after every step whatever it was, asked of the rows alone."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], RowMapping] = {}
        self._ended: dict[str, object] = {}

    def check(self, rows: Rows) -> None:
        """Compare the rows with each other, and with what earlier rows said."""
        attempts, events = ({key: [*of] for key, of in groupby(rows[table], _job)} for table in ("attempt", "event"))
        for job in rows["job"]:
            self._check_job(job, attempts.get(job["id"], []), events[job["id"]])

    def _check_job(self, job: RowMapping, attempts: list[RowMapping], events: list[RowMapping]) -> None:
        live = [each["number"] for each in attempts if each["ended_at"] is None]
        assert live == ([job["attempt"]] if job["status"] in ACTIVE else [])
        assert [each["number"] for each in attempts] == list(range(1, job["attempt"] + 1))
        assert [each["seq"] for each in events] == list(range(1, job["event_seq"] + 1))
        assert job["crashes"] <= job["max_attempts"]
        ends = [each["data"]["status"] for each in events if each["data"].get("status") in TERMINAL]
        assert ends == ([job["status"]] if job["status"] in TERMINAL else [])
        # the version is the ETag: what a client may see does not change under it
        assert self._versions.setdefault((job["id"], job["version"]), job) == job
        if job["status"] in TERMINAL:
            assert self._ended.setdefault(job["id"], (job, attempts, events)) == (job, attempts, events)
        else:
            assert job["id"] not in self._ended


def _job(row: RowMapping) -> str:
    return str(row["job_id"])
