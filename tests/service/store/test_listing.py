"""Lists of jobs: filtered, in order, page by page."""

from typing import Any

import pytest

from store import (
    Database,
    DatabaseBlobStore,
    InvalidCursor,
    NewFile,
    NewJob,
    NewSplit,
    Sort,
    create_job,
    ensure_team,
    insert_dataset,
    insert_model,
    list_jobs,
    pin_job,
    request_cancel,
)


@pytest.fixture
def ids(database: Database, team: str) -> list[str]:
    """Seven jobs, oldest first; the others' job is not among them."""
    with database.write() as session:
        create_job(session, ensure_team(session, "others").id, _new(0))
    made = []
    for number in range(7):
        with database.write() as session:
            made.append(create_job(session, team, _new(number)).job.id)
    return made


def _new(number: int) -> NewJob:
    return NewJob(
        method=("movement", "magnitude")[number % 2],
        target_sparsity=0.5,
        spec={},
        name=f"Run_{number}%" if number else None,
        tags={"n": str(number), 'odd "key"': "x' OR 1=1"},
    )


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_the_pages_hold_every_job_once_in_order(database: Database, team: str, ids: list[str], sort: Sort) -> None:
    seen: list[str] = []
    cursor = None
    with database.read() as session:
        for _ in range(3):
            page = list_jobs(session, team, sort=sort, limit=3, cursor=cursor)
            seen += [job.id for job in page.data]
            cursor = page.next_cursor
    assert cursor is None
    assert seen == (ids if sort == "created_at" else ids[::-1])


def test_a_job_submitted_meanwhile_shifts_no_page(database: Database, team: str, ids: list[str]) -> None:
    with database.read() as session:
        first = list_jobs(session, team, limit=3)
    with database.write() as session:
        create_job(session, team, _new(9))
    with database.read() as session:
        second = list_jobs(session, team, limit=3, cursor=first.next_cursor)
    assert [job.id for job in [*first.data, *second.data]] == ids[:0:-1]


def test_jobs_are_filtered(database: Database, team: str, ids: list[str]) -> None:
    with database.write() as writing:
        cancelled = request_cancel(writing, team, ids[2])
        pin_job(writing, team, ids[5], pinned=True)
    with database.read() as session:

        def found(**filters: object) -> list[str]:
            return [job.id for job in list_jobs(session, team, sort="created_at", **filters).data]  # type: ignore[arg-type]  # one filter of any kind

        assert found(statuses=[cancelled.status]) == [ids[2]]
        assert found(statuses=["queued", "cancelled"]) == ids
        assert found(statuses=["running", "paused"]) == []
        assert found(method="magnitude") == ids[1::2]
        assert found(tags=[("n", "3")]) == [ids[3]]
        assert found(tags=[("n", "nothing")]) == []
        assert found(tags=[('odd "key"', "x' OR 1=1")]) == ids
        assert found(tags=[('odd "key"', "x' OR 1=1"), ("n", "4")]) == [ids[4]]
        assert found(tags=[("n", "3"), ("n", "4")]) == []
        assert found(pinned=True) == [ids[5]]
        assert found(pinned=False) == [*ids[:5], ids[6]]
        assert found(q="run_5%") == [ids[5]]
        assert found(q="%") == ids[1:]
        assert found(q=ids[4][-12:].upper()) == [ids[4]]


def test_a_search_finds_jobs_by_their_inputs(database: Database, team: str) -> None:
    blob = DatabaseBlobStore(database).write([b"PAR1"])
    made: dict[tuple[str, str], str] = {}
    for owner in (team, _other_team(database)):
        with database.write() as session:
            dataset = insert_dataset(
                session, owner, name="Film Reviews", format="csv", columns=[], preview=[],
                splits=[NewSplit("train", 1, blob)],
            ).id  # fmt: skip
            model = insert_model(
                session, owner, name="MiniLM", model_type="bert", config={}, tensors={}, parameters=1,
                files=[NewFile("config.json", blob)],
            ).id  # fmt: skip
        spec = {"model": "hf://google-bert/bert-base-uncased", "dataset": f"upload://{dataset}"}
        for name, new in (
            ("read", NewJob(method="movement", target_sparsity=0.5, spec={}, dataset_id=dataset)),
            ("pruned", NewJob(method="movement", target_sparsity=0.5, spec={}, model_id=model)),
            ("far", NewJob(method="movement", target_sparsity=0.5, spec=spec)),
        ):
            with database.write() as session:
                made[name, owner] = create_job(session, owner, new).job.id
    with database.read() as reading:

        def found(q: str) -> list[str]:
            return [job.id for job in list_jobs(reading, team, q=q).data]

        assert found("film rev") == [made["read", team]]
        assert found("minilm") == [made["pruned", team]]
        assert found("BERT-base") == [made["far", team]]
        assert found("upload://ds_") == [made["far", team]]


def _other_team(database: Database) -> str:
    with database.write() as session:
        return ensure_team(session, "others").id


@pytest.mark.parametrize(
    "other", [{"sort": "created_at"}, {"sort": "-name"}, {"method": "movement"}, {"statuses": ["queued"]}, {"q": "run"}]
)
def test_a_cursor_of_another_listing_is_refused(
    database: Database, team: str, ids: list[str], other: dict[str, Any]
) -> None:
    assert ids
    with database.read() as session:
        cursor = list_jobs(session, team, limit=3).next_cursor
        with pytest.raises(InvalidCursor):
            list_jobs(session, team, limit=3, cursor=cursor, **other)
