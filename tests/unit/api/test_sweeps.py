"""Sweeps over HTTP: every job checked before any is made, and what they show together."""

import csv
import io
import statistics
import threading
import time
from typing import Any

import pytest

from api.sweeps import service
from store import jobs_to_delete
from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.finishing import succeed
from tests.unit.api.scheduling import leave_the_line_to_us, limit

SEEDS = [1, 2, 3]


@pytest.fixture
def sweep(model: str, dataset: str) -> dict[str, Any]:
    """Two methods at two sparsities with three seeds: twelve jobs."""
    return {
        "name": "which method",
        "base": {"model": model, "dataset": dataset, "tags": {"suite": "nightly"}},
        "grid": {"method": ["movement", "magnitude"], "target_sparsity": [0.5, 0.9], "training.seed": SEEDS},
    }


def post(api: Api, sweep: dict[str, Any], **headers: str) -> Any:
    return api.call("POST", "/v1/sweeps", json=sweep, headers=headers)


def test_a_sweep_is_a_job_for_every_combination(api: Api, sweep: dict[str, Any]) -> None:
    answer = post(api, sweep)
    made = answer.json()
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/sweeps/{made['id']}" == made["urls"]["self"]
    assert (made["name"], made["status"], made["jobs_by_status"]) == ("which method", "queued", {"queued": 12})
    assert made["grid"] == sweep["grid"]
    assert list(made["grid"]) == list(sweep["grid"]), "the order of the axes is the user's"
    assert [run["point"]["training.seed"] for run in made["runs"]] == SEEDS * 4
    for run in made["runs"]:
        job = api.get(run["url"]).json()
        spec = job["spec"]
        assert run["point"] == {
            "method": spec["method"],
            "target_sparsity": spec["target_sparsity"],
            "training.seed": spec["training"]["seed"],
        }
        assert (job["sweep"], job["tags"]) == (made["id"], {"suite": "nightly"})
    assert [row["point"] for row in made["table"]] == [
        {"method": method, "target_sparsity": sparsity}
        for method in ("movement", "magnitude")
        for sparsity in (0.5, 0.9)
    ]
    assert [each["id"] for each in api.get("/v1/sweeps").json()["data"]] == [made["id"]]
    assert api.as_other_team().get(f"/v1/sweeps/{made['id']}").status_code == 404


def test_advice_is_given_once_with_the_jobs_it_is_of(api: Api, sweep: dict[str, Any]) -> None:
    made = post(api, sweep).json()
    said: dict[str, list[str]] = {}
    for run in made["runs"]:
        for warning in api.get(run["url"]).json()["warnings"]:
            said.setdefault(warning, []).append(run["job"])
    assert {advice["warning"]: advice["jobs"] for advice in made["warnings"]} == said
    regime = next(advice for advice in made["warnings"] if "does not look at the loss" in advice["warning"])
    of_magnitude = {"method": "magnitude", "target_sparsity": 0.9}
    assert regime["jobs"] == [run["job"] for run in made["runs"] if of_magnitude.items() <= run["point"].items()]


def test_any_field_of_how_a_model_is_pruned_may_vary(api: Api, sweep: dict[str, Any]) -> None:
    sweep["base"] |= {"method": "movement", "target_sparsity": 0.5, "training": {"epochs": 2, "seed": 7}}
    sweep["grid"] = {"pruning.granularity": ["element", {"block": [4, 4]}], "pruning.schedule.cooldown": [0.4, None]}
    runs = post(api, sweep).json()["runs"]
    specs = [api.get(run["url"]).json()["spec"] for run in runs]
    assert [spec["pruning"]["granularity"] for spec in specs] == ["element"] * 2 + [{"block": [4, 4]}] * 2
    assert {(spec["training"]["epochs"], spec["training"]["seed"]) for spec in specs} == {(2, 7)}


def test_one_wrong_point_refuses_all_and_is_told_once(api: Api, sweep: dict[str, Any]) -> None:
    before = api.stored()
    sweep["base"]["training"] = {"max_lenght": 8}
    sweep["grid"]["target_sparsity"] = [0.5, 1.5]
    refused = post(api, sweep)
    assert refused.status_code == 422
    assert pointers(refused) == {"/base/training/max_lenght", "/grid/target_sparsity/1"}
    assert len(refused.json()["errors"]) == len(pointers(refused))
    assert api.stored() == before


def test_what_is_wrong_at_some_points_names_one_of_them(api: Api, sweep: dict[str, Any]) -> None:
    sweep["base"]["training"] = {"score_learning_rate": 0.1}
    refused = post(api, sweep)
    assert pointers(refused) == {"/base/training/score_learning_rate"}
    words = detail(refused, "/base/training/score_learning_rate")
    assert 'at 6 of 12 points, the first of them: method "magnitude", target_sparsity 0.5, training.seed 1.' in words


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"grid": {}}, "/grid"),
        ({"grid": {"training.seed": []}}, "/grid/training.seed"),
        ({"grid": {"training.seed": [1, 1]}}, "/grid/training.seed"),
        ({"grid": {"training.seed": list(range(101))}}, "/grid"),
        ({"grid": {"dataset": ["upload://ds_1"]}}, "/grid/dataset"),
        ({"grid": {"training": [{"seed": 1}]}}, "/grid/training"),
        ({"grid": {"distillation": [None], "distillation.alpha": [0.5]}}, "/grid/distillation.alpha"),
        ({"grid": {"training.seeed": [1]}}, "/grid/training.seeed/0"),
        ({"grid": {"training.seed": 1}}, "/grid/training.seed"),
        ({"base": []}, "/base"),
        ({"seeds": [1]}, "/seeds"),
        ({"name": ""}, "/name"),
        ({"name": "a\0b"}, "/name"),
        ({"name": "a\x1b[31m"}, "/name"),
        ({"grid": {"training" + ".a" * 2000: [1]}}, "/grid/training" + ".a" * 2000),
        ({"grid": {"training.learning_rate": [1, 1.0]}}, "/grid/training.learning_rate"),
        ({"grid": {"training.seed": [1, True]}}, "/grid/training.seed/1"),
    ],
)
def test_what_is_no_sweep_is_refused_with_its_field(
    api: Api, sweep: dict[str, Any], change: dict[str, Any], pointer: str
) -> None:
    sweep["base"] |= {"method": "movement", "target_sparsity": 0.5}
    assert pointer in pointers(post(api, sweep | change))
    assert api.get("/v1/sweeps").json()["data"] == []


def test_the_same_key_and_body_answer_the_first_sweep(api: Api, sweep: dict[str, Any]) -> None:
    first = post(api, sweep, **{"Idempotency-Key": "k1"})
    assert post(api, sweep, **{"Idempotency-Key": "k1"}).json() == first.json()
    assert pointers(post(api, sweep | {"name": "other"}, **{"Idempotency-Key": "k1"})) == {"/header/Idempotency-Key"}
    spec = sweep["base"] | {"method": "movement", "target_sparsity": 0.5}
    assert pointers(api.submit(spec, **{"Idempotency-Key": "k1"})) == {"/header/Idempotency-Key"}
    assert len(api.get("/v1/jobs?limit=100").json()["data"]) == 12


def test_a_repeated_sweep_is_answered_whatever_became_of_its_dataset(
    api: Api, sweep: dict[str, Any], dataset: str
) -> None:
    first = post(api, sweep, **{"Idempotency-Key": "k2"}).json()
    api.call("POST", first["urls"]["cancel"])
    assert api.call("DELETE", dataset.replace("upload://", "/v1/datasets/")).status_code == 204
    again = post(api, sweep, **{"Idempotency-Key": "k2"})
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    assert post(api, sweep).status_code == 422


def test_whoever_deletes_a_sweep_does_not_stumble_over_jobs_that_are_gone(
    api: Api, sweep: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = post(api, sweep).json()
    api.call("POST", made["urls"]["cancel"])

    def look_and_be_overtaken(*about: Any) -> Any:
        found = jobs_to_delete(*about)
        monkeypatch.setattr(service, "jobs_to_delete", jobs_to_delete)
        api.call("DELETE", made["runs"][5]["url"])
        return found

    monkeypatch.setattr(service, "jobs_to_delete", look_and_be_overtaken)
    assert api.call("DELETE", made["urls"]["self"]).status_code == 204
    assert api.get("/v1/jobs").json()["data"] == []


def test_a_sweep_that_the_queue_does_not_hold_is_refused_whole(api: Api, sweep: dict[str, Any]) -> None:
    limit(api, max_queued=11)
    refused = post(api, sweep)
    assert refused.status_code == 429
    assert "would add 12" in refused.json()["detail"]
    assert api.get("/v1/jobs").json()["data"] == []
    limit(api, max_queued=12)
    assert post(api, sweep).status_code == 202


def test_the_table_has_means_over_seeds_and_the_pareto_front(api: Api, sweep: dict[str, Any]) -> None:
    made = post(api, sweep).json()
    qualities = {("movement", 0.5): 0.8, ("movement", 0.9): 0.7, ("magnitude", 0.5): 0.85, ("magnitude", 0.9): 0.6}
    packed = {("movement", 0.5): 50, ("movement", 0.9): 20, ("magnitude", 0.5): 60, ("magnitude", 0.9): 10}
    leave_the_line_to_us(api)
    for run in made["runs"]:
        point = (run["point"]["method"], run["point"]["target_sparsity"])
        succeed(
            api.database,
            {
                "primary_metric": "accuracy",
                "eval": {"accuracy": qualities[point] + run["point"]["training.seed"] / 100, "loss": 1.0},
                "dense_eval": {"accuracy": 0.9},
                "density": {"prunable": 1 - point[1]},
                "bytes": {"dense": 100, "packed": packed[point]},
            },
        )
    shown = api.get(made["urls"]["self"]).json()
    assert (shown["status"], shown["jobs_by_status"]) == ("succeeded", {"succeeded": 12})
    first = shown["runs"][0]
    assert (first["quality"], first["relative"]) == (pytest.approx(0.81), pytest.approx(0.9))
    values = [0.81, 0.82, 0.83]
    accuracy = shown["table"][0]["eval"]["accuracy"]
    assert accuracy == {
        "n": 3, "mean": pytest.approx(statistics.fmean(values)), "sd": pytest.approx(statistics.stdev(values))
    }  # fmt: skip
    assert shown["table"][0]["density"]["mean"] == pytest.approx(0.5)
    fronts = {tuple(row["point"].values()): row["pareto"] for row in shown["table"]}
    assert fronts == {
        ("movement", 0.5): ["bytes"],  # magnitude is better at the same density, and larger
        ("movement", 0.9): ["density", "bytes"],
        ("magnitude", 0.5): ["density", "bytes"],
        ("magnitude", 0.9): ["bytes"],
    }
    table = api.get(made["urls"]["self"], headers={"Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["etag"] != api.get(made["urls"]["self"]).headers["etag"], "it is another representation"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["method"] for row in rows] == ["movement"] * 2 + ["magnitude"] * 2
    assert float(rows[0]["eval.accuracy_sd"]) == pytest.approx(0.01)
    assert rows[1]["pareto"] == "density bytes"


def test_a_sweep_is_cancelled_and_then_deleted_with_its_jobs(api: Api, sweep: dict[str, Any]) -> None:
    made = post(api, sweep).json()
    path = made["urls"]["self"]
    assert api.call("DELETE", path).status_code == 409
    cancelled = api.call("POST", made["urls"]["cancel"])
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert api.call("POST", made["urls"]["cancel"]).status_code == 409
    assert api.as_other_team().call("DELETE", path).status_code == 404
    assert api.call("DELETE", path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.get("/v1/jobs").json()["data"] == []


def test_a_job_that_is_tried_again_takes_the_place_of_the_first(api: Api, sweep: dict[str, Any]) -> None:
    made = post(api, sweep).json()
    job = made["runs"][4]["job"]
    api.call("POST", f"/v1/jobs/{job}/cancel")
    again = api.call("POST", f"/v1/jobs/{job}/retry").json()["id"]
    runs = api.get(made["urls"]["self"]).json()["runs"]
    assert (len(runs), runs[4]["job"], runs[4]["point"]) == (12, again, made["runs"][4]["point"])
    assert api.get("/v1/sweeps").json()["data"][0]["jobs_by_status"] == {"queued": 12}


def test_a_poll_waits_for_the_next_change_of_state(api: Api, sweep: dict[str, Any]) -> None:
    made = post(api, sweep).json()
    path = made["urls"]["self"]
    etag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    began = time.monotonic()
    assert api.get(f"{path}?wait=0.5", headers={"If-None-Match": etag}).status_code == 304
    assert time.monotonic() - began >= 0.5
    threading.Timer(0.5, lambda: api.call("POST", f"/v1/jobs/{made['runs'][0]['job']}/cancel")).start()
    began = time.monotonic()
    changed = api.get(f"{path}?wait=30", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["runs"][0]["status"]) == (200, "cancelled")
    assert time.monotonic() - began < 20
