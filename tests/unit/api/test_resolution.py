"""A good spec is completed: columns, splits, labels and steps are found and echoed."""

from typing import Any

import pytest

from api.jobs.labels import held_out_rows
from tests.unit.api.calling import Api
from tests.unit.api.uploads import bert_files, sentences


def submitted(api: Api, model: str, dataset: str, **more: Any) -> dict[str, Any]:
    """The job that an accepted spec becomes."""
    answer = api.submit({"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9, **more})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def csv(api: Api, **splits: bytes) -> str:
    """The URI of an uploaded dataset of CSV splits."""
    answer = api.upload_dataset(**{split: (f"{split}.csv", raw) for split, raw in splits.items()})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uri"])


def test_the_smallest_spec_becomes_a_whole_one(api: Api, model: str, dataset: str) -> None:
    job = submitted(api, model, dataset)
    spec = job["spec"]
    assert spec["task"] == {"type": "text-classification", "text": "text", "text_pair": None, "label": "label"}
    assert spec["splits"] == {"train": "train", "eval": "validation"}
    assert spec["labels"] == ["negative", "positive"]
    assert spec["holdout"] is None
    # 400 rows in batches of 32 are 13 steps an epoch, and there are 6 epochs
    assert spec["total_steps"] == 78
    assert job["progress"]["total_steps"] == 2 * 78, "progress counts the dense baseline's steps too"
    assert spec["training"]["seed"] == 42
    assert spec["limits"] == {"max_runtime_s": 86400, "max_attempts": 3}
    assert (job["status"], job["attempt"], job["result"], job["error"]) == ("queued", 0, None, None)


def test_a_default_length_is_lowered_to_the_model_s_positions_with_a_word_about_it(
    api: Api, model: str, dataset: str
) -> None:
    job = submitted(api, model, dataset)
    assert job["spec"]["training"]["max_length"] == 32
    assert any("positions for 32 tokens" in warning for warning in job["warnings"])
    asked = submitted(api, model, dataset, training={"max_length": 16})
    assert asked["spec"]["training"]["max_length"] == 16
    assert asked["warnings"] == []


@pytest.mark.parametrize(
    ("first", "second"), [("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence")]
)
def test_well_known_pairs_are_recognised(api: Api, model: str, first: str, second: str) -> None:
    rows = b"".join(b"a film,good,%d,x\n" % (row % 3) for row in range(90))
    dataset = csv(api, train=f"{first},{second},label,source\n".encode() + rows)
    assert submitted(api, model, dataset)["spec"]["task"]["text"] == first
    assert submitted(api, model, dataset)["spec"]["task"]["text_pair"] == second


def test_whole_numbers_are_labels_in_the_order_of_numbers(api: Api, model: str) -> None:
    rows = b"".join(b"film %d said,%d\n" % (row, row % 11) for row in range(220))
    assert submitted(api, model, csv(api, train=b"text,label\n" + rows))["spec"]["labels"] == list(range(11))


def test_booleans_are_labels(api: Api, model: str) -> None:
    rows = "\n".join(f'{{"text": "film", "label": {("true", "false")[row % 2]}}}' for row in range(100))
    dataset = api.upload_dataset(train=("train.jsonl", rows.encode())).json()["uri"]
    assert submitted(api, model, dataset)["spec"]["labels"] == [False, True]


def test_a_model_that_knows_these_labels_keeps_their_order(api: Api, dataset: str) -> None:
    files = bert_files(id2label={"0": "positive", "1": "negative"})
    known = api.upload_model(files).json()["uri"]
    assert submitted(api, known, dataset)["spec"]["labels"] == ["positive", "negative"]
    other = api.upload_model(bert_files(id2label={"0": "LABEL_0", "1": "LABEL_1"})).json()["uri"]
    assert submitted(api, other, dataset)["spec"]["labels"] == ["negative", "positive"]


def test_without_an_evaluation_split_a_tenth_of_each_label_is_held_out(api: Api, model: str) -> None:
    spec = submitted(api, model, csv(api, train=sentences(400)))["spec"]
    assert spec["splits"] == {"train": "train", "eval": None}
    assert spec["holdout"] == 0.1
    assert spec["total_steps"] == 6 * 12  # 360 rows are 12 batches of at most 32


def test_an_explicit_null_holds_out_although_there_is_a_validation_split(api: Api, model: str, dataset: str) -> None:
    spec = submitted(api, model, dataset, splits={"eval": None})["spec"]
    assert (spec["splits"]["eval"], spec["holdout"]) == (None, 0.1)


def test_a_tenth_is_held_out_but_never_all_of_a_label() -> None:
    assert held_out_rows([200, 200]) == 40
    assert held_out_rows([16, 14]) == 3
    assert held_out_rows([5] * 77) == 38, "although half a row of each label is none"
    assert held_out_rows([1] * 30 + [2]) == 1
    assert held_out_rows([4, 1]) == held_out_rows([1] * 30) == 0


def test_splits_with_names_of_their_own_must_be_named_and_unused_ones_are_mentioned(api: Api, model: str) -> None:
    dataset = csv(api, train=sentences(400), extra=sentences(40))
    job = submitted(api, model, dataset)
    assert any("extra" in warning for warning in job["warnings"])
    assert submitted(api, model, dataset, splits={"eval": "extra"})["spec"]["splits"]["eval"] == "extra"
    assert submitted(api, model, csv(api, all=sentences(400)))["spec"]["splits"]["train"] == "all"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_sparsity": 0.2}, "'magnitude' is usually better"),
        ({"method": "magnitude", "target_sparsity": 0.95}, "'movement'"),
        ({"pruning": {"params": {"score_init": "zeros"}}}, "collapse"),
        ({"training": {"max_steps": 60, "dense_baseline": False}}, "prune the dense baseline"),
        ({"training": {"max_steps": 60, "start_from": "model"}}, "prune the dense baseline"),
    ],
)
def test_a_method_outside_its_regime_is_accepted_with_advice(
    api: Api, model: str, dataset: str, change: dict[str, Any], words: str
) -> None:
    job = submitted(api, model, dataset, **change)
    assert any(words in warning for warning in job["warnings"]), job["warnings"]
