"""Jobs side by side: what differs between them, and what came of each."""

import csv
import io
from typing import Any

import pytest

from tests.unit.api.calling import Api, pointers
from tests.unit.api.finishing import succeed
from tests.unit.api.scheduling import leave_the_line_to_us


@pytest.fixture
def jobs(api: Api, model: str, dataset: str) -> list[str]:
    """Two jobs: one that succeeded, and one of another method and seed that waits."""
    leave_the_line_to_us(api)
    spec: dict[str, Any] = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    first = api.submit({**spec, "name": "=first"}).json()["id"]
    succeed(
        api.database,
        {
            "primary_metric": "accuracy",
            "eval": {"accuracy": 0.81, "loss": 0.5},
            "dense_eval": {"accuracy": 0.9},
            "density": {"prunable": 0.1, "encoder": 0.11, "model": 0.5},
            "bytes": {"dense": 1000, "packed": None},
        },
    )
    return [first, api.submit({**spec, "method": "magnitude", "training": {"seed": 7}}).json()["id"]]


def test_only_what_differs_is_shown_with_the_value_of_each(api: Api, jobs: list[str]) -> None:
    shown = api.get("/v1/compare", params={"job": jobs})
    assert shown.status_code == 200, shown.text
    differences = shown.json()["differences"]
    assert differences["method"] == ["movement", "magnitude"]
    assert differences["training.seed"] == [42, 7]
    assert differences["pruning.params.score_init"] == ["sensitivity", None]
    assert {"model", "dataset", "target_sparsity", "training.epochs"}.isdisjoint(differences)
    backwards = api.get("/v1/compare", params={"job": jobs[::-1]}).json()["differences"]
    assert backwards == {name: values[::-1] for name, values in differences.items()}


def test_fields_that_one_of_them_lacks_are_told_and_not_the_object_around_them(
    api: Api, model: str, dataset: str
) -> None:
    spec = {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}
    ids = [api.submit({**spec, "tags": tags}).json()["id"] for tags in ({"suite": "nightly"}, {})]
    shown = api.get("/v1/compare", params={"job": ids}).json()
    assert shown["differences"] == {"tags.suite": ["nightly", None]}


def test_what_came_of_each_is_beside_it(api: Api, jobs: list[str]) -> None:
    first, second = api.get("/v1/compare", params={"job": jobs}).json()["jobs"]
    assert (first["job"], first["status"], second["job"], second["status"]) == (jobs[0], "succeeded", jobs[1], "queued")
    assert (first["quality"], first["relative"]) == (0.81, pytest.approx(0.9))
    assert (first["density"]["model"], first["bytes"]) == (0.5, {"dense": 1000})
    assert first["runtime_s"] >= 0
    assert (second["quality"], second["relative"], second["eval"], second["runtime_s"]) == (None, None, {}, 0)


def test_a_comparison_comes_as_csv_that_no_spreadsheet_runs(api: Api, jobs: list[str]) -> None:
    table = api.get("/v1/compare", params={"job": jobs}, headers={"Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    first, second = csv.DictReader(io.StringIO(table.text))
    assert (first["name"], first["method"], first["eval.accuracy"], first["bytes.dense"]) == (
        "'=first", "movement", "0.81", "1000.0"
    )  # fmt: skip
    assert (second["method"], second["eval.accuracy"]) == ("magnitude", "")


def test_what_cannot_be_compared_is_refused(api: Api, jobs: list[str]) -> None:
    assert pointers(api.get("/v1/compare")) == {"/query/job"}
    assert pointers(api.get("/v1/compare", params={"job": jobs[:1]})) == {"/query/job"}
    assert pointers(api.get("/v1/compare", params={"job": [jobs[0]] * 2})) == {"/query/job"}
    assert api.get("/v1/compare", params={"job": [jobs[0], "nonsense"]}).status_code == 404
    assert api.as_other_team().get("/v1/compare", params={"job": jobs}).status_code == 404
