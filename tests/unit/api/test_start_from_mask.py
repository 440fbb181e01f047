"""A target below what a model that keeps its zeros has lost already is refused at submit, by numbers counted there."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.uploads import bert_files

#: Share of each prunable matrix that is zero.
GONE = 0.75


@pytest.fixture(params=["float32", "float16"])
def pruned(request: pytest.FixtureRequest, api: Api) -> str:
    """A model whose prunable weights are three quarters zeros, half of them negative ones; its uri."""
    files = bert_files()
    tensors = {name: tensor.astype(request.param) for name, tensor in load(files["model.safetensors"]).items()}
    for name, tensor in tensors.items():
        if ".layer." in name and name.endswith(".weight") and tensor.ndim == 2:
            flat = tensor.reshape(-1)
            gone = np.random.default_rng(1).permutation(flat.size)[: round(GONE * flat.size)]
            flat[gone] = np.where(np.arange(len(gone)) % 2, 0.0, -0.0)
    uri: str = api.upload_model({**files, "model.safetensors": save(tensors)}).json()["uri"]
    return uri


def spec_of(pruned: str, dataset: str, target: float, **pruning: object) -> dict[str, Any]:
    return {
        "model": pruned,
        "dataset": dataset,
        "method": "movement",
        "target_sparsity": target,
        "pruning": {"start_from_mask": True, **pruning},
    }


def test_a_target_below_what_is_gone_is_refused_and_one_above_is_not(api: Api, pruned: str, dataset: str) -> None:
    answer = api.submit(spec_of(pruned, dataset, 0.5))
    assert answer.status_code == 422
    assert pointers(answer) == {"/target_sparsity"}
    words = detail(answer, "/target_sparsity")
    assert "75.00% of the model's prunable weights are zero already" in words
    assert "Raise target_sparsity to 0.75" in words
    for target in (0.751, 0.9):
        assert api.submit(spec_of(pruned, dataset, target)).status_code == 202


def test_the_schedule_that_is_shown_begins_where_the_model_stands(api: Api, pruned: str, dataset: str) -> None:
    for pruning, begins in (({}, 0.25), ({"granularity": "row"}, 0.25), ({"start_from_mask": False}, 1.0)):
        spec = spec_of(pruned, dataset, 0.9, **pruning)
        shown = api.call("POST", "/v1/jobs:validate", json=spec).json()["schedule"]["density"]
        assert shown[0] == [0, begins]
        assert shown[-1][1] == pytest.approx(0.1)
        assert [density for _, density in shown] == sorted((density for _, density in shown), reverse=True)


def test_how_many_units_are_left_is_the_worker_s_to_say(api: Api, pruned: str, dataset: str) -> None:
    spec = spec_of(pruned, dataset, 0.97, granularity="row")
    assert "less than one row" in detail(api.submit({**spec, "pruning": {"granularity": "row"}}), "/target_sparsity")
    assert api.submit(spec).status_code == 202


def test_a_model_without_zeros_has_no_mask_to_start_from(api: Api, model: str, dataset: str) -> None:
    warnings = api.submit(spec_of(model, dataset, 0.5)).json()["warnings"]
    assert any("has no zeros in its prunable matrices" in each for each in warnings)


def test_zeros_that_may_come_back_do_not_count(api: Api, pruned: str, dataset: str) -> None:
    assert api.submit(spec_of(pruned, dataset, 0.5, start_from_mask=False)).status_code == 202


@pytest.mark.parametrize("method", ["wanda", "layerdrop"])
def test_methods_that_follow_no_zeros_are_refused_by_field(api: Api, pruned: str, dataset: str, method: str) -> None:
    answer = api.submit({**spec_of(pruned, dataset, 0.9), "method": method})
    assert answer.status_code == 422
    assert "/pruning/start_from_mask" in pointers(answer)
    assert "or leave it out" in detail(answer, "/pruning/start_from_mask")
