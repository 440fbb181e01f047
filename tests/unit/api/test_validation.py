"""POST /v1/jobs:validate: the same checks as a submit, and no job."""

from typing import Any

import pytest

from tests.unit.api.calling import Api

SPEC = {"method": "movement", "target_sparsity": 0.9}


def validated(api: Api, model: str, dataset: str, **more: Any) -> dict[str, Any]:
    answer = api.call("POST", "/v1/jobs:validate", json={"model": model, "dataset": dataset, **SPEC, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_is_validated_is_what_a_submit_would_store(api: Api, model: str, dataset: str) -> None:
    found = validated(api, model, dataset)
    assert api.get("/v1/jobs").json()["data"] == []
    job = api.submit({"model": model, "dataset": dataset, **SPEC}).json()
    assert found["spec"] == job["spec"]
    assert found["total_steps"] == job["progress"]["total_steps"]
    assert found["warnings"] == job["warnings"]


def test_the_schedule_is_in_the_runs_own_steps(api: Api, model: str, dataset: str) -> None:
    schedule = validated(api, model, dataset)["schedule"]
    assert (schedule["total_steps"], schedule["warmup_steps"], schedule["cooldown_steps"]) == (78, 8, 23)
    assert schedule["density"][0] == [0, 1.0]
    assert schedule["density"][-1] == [78, 0.1]
    middle = dict(map(tuple, schedule["density"]))[20]
    assert middle == pytest.approx(0.1 + 0.9 * max(0.0, 1 - (20 - 8) / (78 - 8 - 23)) ** 3)


def test_memory_grows_by_what_a_method_keeps(api: Api, model: str, dataset: str) -> None:
    held = {
        method: validated(api, model, dataset, method=method)["memory"]
        for method in ("magnitude", "taylor", "platon", "movement", "l0")
    }
    assert len({memory["model"] for memory in held.values()}) == 1
    extra = {name: memory["training"] - held["magnitude"]["training"] for name, memory in held.items()}
    per_weight = extra["taylor"] // 4
    assert per_weight > 0
    assert {name: bytes_ // per_weight for name, bytes_ in extra.items()} == {
        "magnitude": 0,
        "taylor": 4,
        "platon": 8,
        "movement": 12,
        "l0": 16,
    }


@pytest.mark.parametrize(
    "case",
    [("movement", 0.2, "'magnitude' is usually better"), ("magnitude", 0.95, "'movement'"), ("movement", 0.9, None)],
)
def test_a_method_outside_its_regime_is_advised_against(
    api: Api, model: str, dataset: str, case: tuple[str, float, str | None]
) -> None:
    method, sparsity, words = case
    warnings = " ".join(validated(api, model, dataset, method=method, target_sparsity=sparsity)["warnings"])
    assert (words in warnings) if words else ("density" not in warnings)


def test_an_order_by_sensitivity_wants_a_model_that_knows_its_task(api: Api, model: str, dataset: str) -> None:
    for start_from, advised in (("model", True), ("dense", False)):
        spec = {"pruning": {"params": {"score_init": "sensitivity"}}, "training": {"start_from": start_from}}
        warnings = " ".join(validated(api, model, dataset, **spec)["warnings"])
        assert ("says little of a model" in warnings) == advised


@pytest.mark.parametrize("rate", [1.0, 0.011, 0.01, None])
@pytest.mark.parametrize("name", ["learning_rate", "dense_learning_rate"])
def test_rates_at_which_nothing_is_learnt_are_advised_against(
    api: Api, model: str, dataset: str, name: str, rate: float | None
) -> None:
    warnings = validated(api, model, dataset, training={name: rate})["warnings"]
    assert any(f"At training.{name} " in each for each in warnings) is (rate is not None and rate > 0.01)


@pytest.mark.parametrize(("steps", "target", "advised"), [(24, 0.9, True), (24, 0.5, False), (60, 0.9, False)])
def test_runs_of_some_tens_of_steps_are_advised_against_at_high_sparsity(
    api: Api, model: str, dataset: str, steps: int, target: float, *, advised: bool
) -> None:
    found = validated(api, model, dataset, method="l0", target_sparsity=target, training={"max_steps": steps})
    assert ("Give it 60 steps or more" in " ".join(found["warnings"])) == advised


@pytest.mark.parametrize("method", ["l0", "magnitude", "obd", "obs", "rewind", "rpp", "movement", "taylor"])
def test_methods_that_short_runs_are_too_short_for_are_advised_against(
    api: Api, model: str, dataset: str, method: str
) -> None:
    """Unless what is left is fitted, 100 steps of sentence pairs end at 0.35 to 0.49 accuracy with them."""
    slow = fitted = method not in ("l0", "movement", "obs", "taylor")
    for steps, target, unfit, advised in (
        (100, 0.9, {}, slow and not fitted),
        (100, 0.9, {"reconstruct": False}, slow),
        (100, 0.5, {"reconstruct": False}, False),
        (301, 0.9, {}, False),
    ):
        training = {"max_steps": steps}
        spec = {"method": method, "target_sparsity": target, "training": training, "pruning": unfit}
        found = validated(api, model, dataset, **spec)
        assert ("In runs as short as" in " ".join(found["warnings"])) == advised
        if advised and fitted:
            assert "Leave out pruning.reconstruct false, use" in " ".join(found["warnings"])


def test_a_parameter_of_null_is_one_left_out(api: Api, model: str, dataset: str) -> None:
    """`GET /v1/methods` offers null for those whose default depends on the run."""
    left_out = validated(api, model, dataset)["spec"]
    assert validated(api, model, dataset, pruning={"params": {"score_init": None}})["spec"] == left_out


def test_a_wrong_spec_is_refused_as_at_submit(api: Api, model: str, dataset: str) -> None:
    wrong = {"model": model, "dataset": dataset, **SPEC, "method": "magic"}
    answer, submitted = api.call("POST", "/v1/jobs:validate", json=wrong), api.submit(wrong)
    assert answer.status_code == submitted.status_code == 422
    assert answer.json()["errors"] == submitted.json()["errors"]
