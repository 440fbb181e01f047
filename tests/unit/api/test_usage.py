"""Usage over HTTP: for administrators, by day."""

from datetime import UTC, date, datetime

import pytest

from tests.unit.api.calling import Api, pointers


def test_an_administrator_sees_the_teams_use(api: Api, model: str, dataset: str) -> None:
    api.submit({"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9})
    shown = api.get("/v1/usage").json()
    assert (len(shown["days"]), shown["days"][-1]["day"]) == (30, shown["to"])
    assert shown["from"] == shown["days"][0]["day"]
    assert abs(date.fromisoformat(shown["to"]) - datetime.now(UTC).date()).days <= 1
    assert shown["total"] == {
        "jobs": {"submitted": 1, "succeeded": 0, "failed": 0, "cancelled": 0},
        "trainer_s": 0, "gpu_s": 0, "steps": 0,
    }  # fmt: skip
    assert shown["jobs_by_status"] == {"queued": 1}
    assert shown["stored"]["referenced"]["models"] > 0
    assert shown["stored"]["unique"] <= sum(shown["stored"]["referenced"].values())


def test_others_do_not(api: Api) -> None:
    assert api.with_scopes("read", "submit").get("/v1/usage").status_code == 403


def test_the_days_are_those_asked_for(api: Api) -> None:
    shown = api.get("/v1/usage?from=2026-02-27&to=2026-03-01").json()
    assert [day["day"] for day in shown["days"]] == ["2026-02-27", "2026-02-28", "2026-03-01"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=2026-03-02&to=2026-03-01", "/query/from"),
        ("from=2020-01-01&to=2026-03-01", "/query/from"),
        ("from=yesterday", "/query/from"),
        ("to=0", "/query/to"),
        ("to=2026-3-1", "/query/to"),
        ("to=9999-12-31", "/query/from"),
        ("to=0001-01-01", "/query/from"),
    ],
)
def test_days_that_cannot_be_are_refused(api: Api, query: str, pointer: str) -> None:
    assert pointers(api.get(f"/v1/usage?{query}")) == {pointer}


def test_days_the_wrong_way_round_are_told_as_that(api: Api) -> None:
    answer = api.get("/v1/usage?from=2026-03-02&to=2026-03-01")
    assert [error["detail"] for error in answer.json()["errors"]] == [
        "from: it is after `to`. Give them the other way round."
    ]
