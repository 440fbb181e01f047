"""Units of several weights: what a model has too few of is refused, and everything else is taken.

The model is a BERT of two layers with 4 matrices of 8 × 8, one of 16 × 8 and one of 8 × 16, and two heads of 4.
"""

from pathlib import Path
from typing import Any

import pytest

from api.jobs.matrices import _not_below
from tests.tiny import save_tiny_model
from tests.unit.api.calling import Api, detail, pointers

# (granularity, the highest sparsity that leaves a unit of each, one that does not)
SHARES: list[tuple[object, float, float]] = [
    # 2 × (4·8 + 8 + 16) = 112 weights of one row each, of 1,024
    ("row", 1 - 112 / 1024, 0.9),
    ("column", 1 - 112 / 1024, 0.9),
    # one of 4 × 4 in each of 12 matrices
    ({"block": [4, 4]}, 1 - 192 / 1024, 0.82),
    ({"block": [64, 64]}, 0.0, 0.6),  # every matrix is one block, and none may go
    # one of two heads
    ("head", 0.5, 0.51),
    # one of two heads, and a neuron of 16
    ("structured", 0.5, 0.51),
    # every matrix of the attention is one block, and none may go
    ("hybrid", 0.0, 0.5),
    # layers may go but one
    ("layer", 0.5, 0.8),
]


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    return {"model": model, "dataset": dataset, "method": "magnitude"}


@pytest.mark.parametrize(("granularity", "most", "over"), SHARES)
def test_a_unit_of_each_must_be_left(
    api: Api, spec: dict[str, Any], granularity: object, most: float, over: float
) -> None:
    pruning = {"pruning": {"granularity": granularity}}
    if most:
        accepted = api.submit({**spec, **pruning, "target_sparsity": most})
        assert accepted.status_code == 202, accepted.text
        assert accepted.json()["spec"]["pruning"]["granularity"] == granularity
    refused = api.submit({**spec, **pruning, "target_sparsity": over})
    assert pointers(refused) == {"/target_sparsity"}, refused.text
    remedy = detail(refused, "/target_sparsity")
    if not most:  # each matrix is one unit
        assert remedy.endswith("Take smaller units (pruning.granularity).")
        return
    least = float(remedy.partition("Lower it to at most ")[2].rstrip("."))
    assert api.submit({**spec, **pruning, "target_sparsity": least}).status_code == 202, "the remedy helps"


def test_a_target_below_half_a_unit_removes_nothing(api: Api, spec: dict[str, Any]) -> None:
    for granularity, count in (("layer", "2 layers"), ("head", "4 heads")):
        pruned = {**spec, "pruning": {"granularity": granularity}}
        said = detail(api.submit({**pruned, "target_sparsity": 0.1}), "/target_sparsity")
        assert f"removes none of {count}" in said
        least = float(said.partition("Raise it to at least ")[2].rstrip("."))
        assert api.submit({**pruned, "target_sparsity": least}).status_code == 202, "the remedy helps"


def test_blocks_that_the_matrix_cuts_short_count_as_what_they_are(api: Api, spec: dict[str, Any]) -> None:
    """Of 16 × 8 weights a block of 15 × 8 leaves one of 1 × 8: what is right for the worker is taken."""
    pruning = {"granularity": {"block": [15, 8]}, "modules": r"layer\.0\.intermediate"}
    for sparsity, status in ((0.97, 422), (0.9375, 202), (0.5, 202), (0.0625, 202), (0.02, 422)):
        answer = api.submit({**spec, "target_sparsity": sparsity, "pruning": pruning})
        assert answer.status_code == status, answer.text
    said = detail(answer, "/target_sparsity")
    assert "removes none of 2 blocks" in said
    least = float(said.partition("Raise it to at least ")[2].rstrip("."))
    assert api.submit({**spec, "target_sparsity": least, "pruning": pruning}).status_code == 202


@pytest.mark.parametrize("share", [1 / 3, 1e-7 / 3, 0.5, 2 / 3e5, 9.999995e-4])
def test_a_share_to_raise_to_is_not_below(share: float) -> None:
    assert share <= float(f"{_not_below(share):.6g}") <= share * (1 + 1.1e-5)


def test_of_one_layer_none_can_go(api: Api, spec: dict[str, Any]) -> None:
    pruning = {"granularity": "layer", "modules": r"layer\.0"}
    answer = api.submit({**spec, "target_sparsity": 0.5, "pruning": pruning})
    assert pointers(answer) == {"/pruning/modules"}
    assert "selects matrices of one layer alone" in detail(answer, "/pruning/modules")


def test_two_of_four_needs_half_and_inputs_in_fours(api: Api, spec: dict[str, Any]) -> None:
    pruning = {"pruning": {"granularity": "2:4"}}
    assert api.submit({**spec, **pruning, "target_sparsity": 0.5}).status_code == 202


def test_heads_are_in_the_attention_only(api: Api, spec: dict[str, Any]) -> None:
    pruning = {"granularity": "head", "modules": "dense"}
    answer = api.submit({**spec, "target_sparsity": 0.5, "pruning": pruning})
    assert "has no attention heads" in detail(answer, "/pruning/modules")
    attention = {"granularity": "head", "modules": "attention"}
    assert api.submit({**spec, "target_sparsity": 0.5, "pruning": attention}).status_code == 202


def test_heads_cannot_be_ranked_without_the_projections_that_rank_them(api: Api, spec: dict[str, Any]) -> None:
    spec = {**spec, "method": "head", "target_sparsity": 0.5}
    answer = api.submit({**spec, "pruning": {"modules": r"attention\.self|layer\.0\.attention\.output"}})
    said = detail(answer, "/pruning/modules")
    assert "leaves out 'encoder.layer.1.attention.output.dense', by which method 'head' ranks" in said
    assert api.submit({**spec, "pruning": {"modules": r"layer\.1\.attention"}}).status_code == 202
    by_weights = {"granularity": "head", "modules": r"attention\.self"}
    assert api.submit({**spec, "method": "magnitude", "pruning": by_weights}).status_code == 202


def test_a_method_s_own_granularity_is_filled_in(api: Api, spec: dict[str, Any]) -> None:
    job = api.submit({**spec, "method": "layerdrop", "target_sparsity": 0.5}).json()
    assert job["spec"]["pruning"]["granularity"] == "layer"
    assert job["spec"]["pruning"]["scope"] == "global"


def test_frozen_weights_are_taken_where_scores_are_learned(api: Api, spec: dict[str, Any]) -> None:
    frozen = {"method": "movement", "target_sparsity": 0.9, "pruning": {"freeze_weights": True}}
    assert api.submit({**spec, **frozen}).json()["spec"]["pruning"]["freeze_weights"] is True


@pytest.mark.parametrize(
    ("granularity", "modules", "warned"),
    [
        ("row", "query|key", True),
        ("row", r"attention\.output", True),
        ("row", "value", False),
        ("column", "value|intermediate", True),
        ("column", r"output\.dense", False),
        ({"block": [4, 4]}, "key", True),
        ({"block": [4, 4]}, "intermediate", False),
        ("row", None, False),
    ],
)
def test_a_job_that_can_leave_nothing_dead_is_told_that_its_model_will_not_be_smaller(
    api: Api, spec: dict[str, Any], granularity: Any, modules: str | None, warned: bool
) -> None:
    pruning = {"granularity": granularity} | ({} if modules is None else {"modules": modules})
    asked = {"target_sparsity": 0.5, "pruning": pruning, "export": {"structured": True}}
    answer = api.submit({**spec, **asked})
    assert answer.status_code == 202, answer.text
    told = [warning for warning in answer.json()["warnings"] if warning.startswith("export.structured ")]
    assert len(told) == warned, answer.json()["warnings"]


def test_heads_and_neurons_are_taken_out_of_families_that_can_do_without(
    api: Api, spec: dict[str, Any], tmp_path: Path
) -> None:
    asked = {"target_sparsity": 0.5, "pruning": {"granularity": "structured"}, "export": {"structured": True}}
    accepted = api.submit({**spec, **asked, "export": {"structured": True, "onnx": True, "int8": True}})
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["spec"]["export"]["structured"] is True
    files = {path.name: path.read_bytes() for path in save_tiny_model(tmp_path, "modernbert").iterdir()}
    gated = {**spec, "model": api.upload_model(files).json()["uri"]}
    answer = api.submit({**gated, **asked})
    assert pointers(answer) == {"/export/structured", "/pruning/granularity"}, answer.text
    assert "Those of these can: bert, " in detail(answer, "/export/structured")
    assert "removes feed-forward neurons as wholes" in detail(answer, "/pruning/granularity")
    assert api.submit({**gated, "target_sparsity": 0.5, "pruning": {"granularity": "head"}}).status_code == 202
