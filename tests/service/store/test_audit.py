"""The audit log can be added to, and nothing else."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from store import Call, Database, list_audit, record_call


@pytest.fixture
def entry(database: Database, team: str) -> str:
    """The id of an entry."""
    with database.write() as session:
        call = Call(team_id=team, key_id=None, method="POST", route="/v1/jobs", target_id="job_1", status=202)
        record_call(session, call)
    with database.read() as session:
        [found] = list_audit(session, team).data
    return found.id


@pytest.mark.parametrize("change", ["UPDATE audit_entry SET status = 200", "DELETE FROM audit_entry"])
def test_the_database_refuses_to_change_an_entry(database: Database, team: str, entry: str, change: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), database.engine.begin() as connection:
        connection.execute(text(change))
    with database.read() as session:
        assert [(each.id, each.status) for each in list_audit(session, team).data] == [(entry, 202)]


@pytest.mark.postgres
def test_postgresql_refuses_to_empty_it(postgres_url: str) -> None:
    from store import open_database

    database = open_database(postgres_url)
    with pytest.raises(IntegrityError, match="append-only"), database.engine.begin() as connection:
        connection.execute(text("TRUNCATE audit_entry"))
    database.close()
