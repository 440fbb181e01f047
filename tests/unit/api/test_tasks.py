"""What a job is for: told by the dataset's columns, or by the spec; what does not fit is refused by field."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.uploads import bert_files

Row = dict[str, object]


def lines(rows: Sequence[Row]) -> bytes:
    """Rows as JSON lines."""
    return "\n".join(map(json.dumps, rows)).encode()


def uploaded(api: Api, train: Sequence[Row], validation: Sequence[Row] = ()) -> str:
    """The URI of a dataset of JSON lines."""
    splits = {"train": ("train.jsonl", lines(train))}
    if validation:
        splits["validation"] = ("validation.jsonl", lines(validation))
    answer = api.upload_dataset(**splits)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uri"])


def spec_of(model: str, dataset: str, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": dataset,
        "method": "movement",
        "target_sparsity": 0.9,
        "training": {"batch_size": 8},
        **more,
    }


def resolved(api: Api, model: str, dataset: str, **more: Any) -> dict[str, Any]:
    """The spec of the job that an accepted one becomes."""
    answer = api.submit(spec_of(model, dataset, **more))
    assert answer.status_code == 202, answer.text
    spec: dict[str, Any] = answer.json()["spec"]
    return spec


def refused(api: Api, model: str, dataset: str, pointer: str, **more: Any) -> str:
    """What a refusal says about the one field that it names."""
    before = api.stored()
    answer = api.submit(spec_of(model, dataset, **more))
    assert answer.status_code == 422, answer.text
    assert pointers(answer) == {pointer}, answer.text
    assert api.stored() == before
    return detail(answer, pointer)


def squad(contexts: int, questions: int = 2) -> bytes:
    """SQuAD's JSON with so many paragraphs."""
    paragraphs = [
        {
            "context": f"Oak number {number} is a tree.",
            "qas": [
                {"id": f"{number}.{q}", "question": "Which?", "answers": [{"text": str(number), "answer_start": 11}]}
                for q in range(questions)
            ],
        }
        for number in range(contexts)
    ]
    return json.dumps({"data": [{"title": "Oaks", "paragraphs": paragraphs}]}).encode()


def tagged(rows: int, **more: object) -> list[Row]:
    return [{"tokens": ["Ada", "left"], "tags": ["B-PER", "O"], **more} for _ in range(rows)]


def rated(rows: int, column: str = "score", whole: bool = False) -> list[Row]:
    chance = random.Random(0)
    numbers: list[float] = [chance.randrange(6) if whole else chance.uniform(0.5, 5) for _ in range(rows)]
    return [{"sentence1": "a film", "sentence2": "a play", "genre": "news", column: number} for number in numbers]


# ── Inference ────────────────────────────────────────────────────────────────


def test_squad_is_question_answering(api: Api, model: str) -> None:
    answer = api.upload_dataset(train=("train.json", squad(100)), validation=("dev.json", squad(10)))
    spec = resolved(api, model, answer.json()["uri"])
    assert spec["task"] == {
        "type": "question-answering",
        "question": "question",
        "context": "context",
        "answers": "answers",
    }
    assert (spec["labels"], spec["holdout"]) == ([], None)
    assert spec["total_steps"] == 6 * 25, "an estimate by rows: 200 in batches of 8"


def test_words_with_tags_are_token_classification(api: Api, model: str) -> None:
    rare: list[Row] = [{"tokens": ["Ada"], "tags": ["B-LOC"]}]
    job = api.submit(spec_of(model, uploaded(api, tagged(100), tagged(5) + rare))).json()
    assert job["spec"]["task"] == {"type": "token-classification", "tokens": "tokens", "tags": "tags"}
    assert job["spec"]["labels"] == ["B-LOC", "B-PER", "O"], "those of both splits, sorted"
    assert any("'B-LOC'" in warning for warning in job["warnings"])
    numbered: list[Row] = [{"id": "x", "words": ["Ada", "left"], "ner_tags": [3, 0]} for _ in range(100)]
    spec = resolved(api, model, uploaded(api, numbered))
    assert spec["task"] == {"type": "token-classification", "tokens": "words", "tags": "ner_tags"}
    assert (spec["labels"], spec["holdout"]) == ([0, 3], 0.1)
    assert spec["total_steps"] == 6 * 12, "90 rows are left"


@pytest.mark.parametrize(
    ("column", "whole"), [("label", False), ("score", False), ("score", True), ("similarity", True)]
)
def test_fractions_and_scores_are_regression(api: Api, model: str, column: str, whole: bool) -> None:
    spec = resolved(api, model, uploaded(api, rated(100, column, whole)))
    assert spec["task"] == {"type": "regression", "text": "sentence1", "text_pair": "sentence2", "label": column}
    assert (spec["labels"], spec["holdout"], spec["total_steps"]) == ([], 0.1, 6 * 12)


def test_words_and_tags_are_held_against_each_other_whatever_their_columns_are_called(api: Api, model: str) -> None:
    rows: list[Row] = [{"wörter": ["Ada", "left"], "art": ["B", "O"], "more": ["x"]} for _ in range(60)]
    task = {"type": "token-classification", "tokens": "wörter", "tags": "art"}
    assert api.submit(spec_of(model, uploaded(api, rows), task=task)).status_code == 202
    rows[41] = {**rows[41], "art": ["B"]}
    said = refused(api, model, uploaded(api, rows), "/task/tags", task=task)
    assert "In split 'train', row 42, columns 'wörter' and 'art' have different numbers of values" in said


def test_answers_are_held_against_the_context_that_the_spec_names(api: Api, model: str) -> None:
    rows: list[Row] = [
        {"ask": "an oak or an elm?", "passage": f"an oak {n}", "answers": {"text": ["oak"], "answer_start": [3]}}
        for n in range(60)
    ]
    task = {"type": "question-answering", "question": "ask", "context": "passage", "answers": "answers"}
    assert api.submit(spec_of(model, uploaded(api, rows), task=task)).status_code == 202
    rows[3] = {**rows[3], "answers": {"text": ["elm"], "answer_start": [0]}}
    said = refused(api, model, uploaded(api, rows), "/task/context", task=task)
    assert "row 4, columns 'passage' and 'answers' do not agree: no answer of that row is in its context" in said


@pytest.mark.parametrize("largest", [10**17, -1e16])
def test_numbers_too_large_to_be_squared_are_refused_at_submit(api: Api, model: str, largest: float) -> None:
    rows = rated(99, "score", whole=isinstance(largest, int))
    dataset = uploaded(api, [*rows, {**rows[0], "score": largest}])
    said = api.submit(spec_of(model, dataset)).json()["errors"]
    assert [error["pointer"] for error in said] == ["/task/label"]
    assert f"holds {abs(float(largest)):g} in split 'train'" in said[0]["detail"]


def test_whole_numbers_called_label_are_classes_unless_the_spec_says_regression(api: Api, model: str) -> None:
    dataset = uploaded(api, rated(100, "label", whole=True))
    assert resolved(api, model, dataset)["task"]["type"] == "text-classification"
    spec = resolved(api, model, dataset, task={"type": "regression"})
    assert spec["task"] == {"type": "regression", "text": "sentence1", "text_pair": "sentence2", "label": "label"}
    assert spec["labels"] == []


def test_columns_that_suit_two_tasks_are_refused_with_both_named(api: Api, model: str) -> None:
    rows: list[Row] = [
        {
            "question": "?",
            "context": f"oak {row}",
            "answers": {"text": ["oak"], "answer_start": [0]},
            "label": "ab"[row % 2],
        }
        for row in range(100)
    ]
    dataset = uploaded(api, rows)
    words = refused(api, model, dataset, "/task")
    assert "'question-answering' and 'text-classification'" in words
    assert '"task": {"type": "question-answering"}' in words
    assert resolved(api, model, dataset, task={"type": "question-answering"})["labels"] == []
    pairs = {"text": "question", "text_pair": "context", "label": "label"}
    assert resolved(api, model, dataset, task=pairs)["labels"] == ["a", "b"]


def test_a_task_that_the_columns_do_not_suit_is_refused_with_all_that_is_missing(api: Api, model: str) -> None:
    dataset = uploaded(api, [{"text": "a", "label": "b"}] * 50)
    before = api.stored()
    for task, missing in (
        ("question-answering", {"/task/question", "/task/context", "/task/answers"}),
        ("token-classification", {"/task/tokens", "/task/tags"}),
        ("regression", {"/task/label"}),
    ):
        answer = api.submit(spec_of(model, dataset, task={"type": task}))
        assert pointers(answer) == missing, answer.text
    assert api.stored() == before


def test_several_columns_of_tags_are_refused_with_all_named(api: Api, model: str) -> None:
    rows: list[Row] = [{"tokens": ["Ada", "left"], "ner_tags": [1, 0], "pos_tags": [5, 6]} for _ in range(100)]
    dataset = uploaded(api, rows)
    assert "'ner_tags', 'pos_tags'" in refused(api, model, dataset, "/task/tags")
    task = {"type": "token-classification", "tags": "ner_tags"}
    assert resolved(api, model, dataset, task=task)["task"]["tokens"] == "tokens"


def test_columns_left_out_of_a_task_are_found_under_their_other_names(api: Api, model: str) -> None:
    rows: list[Row] = [{"words": ["Ada", "left"], "ner_tags": ["B-PER", "O"]} for _ in range(100)]
    task = {"type": "token-classification", "tags": "ner_tags"}
    assert resolved(api, model, uploaded(api, rows), task=task)["task"]["tokens"] == "words"


# ── Refusals ─────────────────────────────────────────────────────────────────


def test_a_column_of_the_wrong_type_is_refused_with_those_of_the_right_one(api: Api, model: str) -> None:
    dataset = uploaded(api, [{**row, "text": "a film", "n": 1.5} for row in tagged(100)])
    words = refused(api, model, dataset, "/task/tags", task={"type": "token-classification", "tags": "text"})
    assert "is string" in words
    assert "'tokens', 'tags'" in words
    words = refused(api, model, dataset, "/task/label", task={"text": "text", "label": "n"})
    assert 'set task.type to "regression"' in words
    words = refused(api, model, dataset, "/task/label", task={"type": "regression", "text": "text", "label": "tags"})
    assert "Regression predicts numbers" in words


def test_a_question_without_an_answer_is_refused_with_its_row(api: Api, model: str) -> None:
    document = json.loads(squad(100))
    document["data"][0]["paragraphs"][3]["qas"][1]["answers"] = []
    dataset = api.upload_dataset(train=("train.json", json.dumps(document).encode())).json()["uri"]
    words = refused(api, model, dataset, "/task/answers")
    assert "has no answer in split 'train', row 8" in words
    assert "SQuAD 2.0" in words


@pytest.mark.parametrize(
    ("rows", "pointer", "words"),
    [
        ([{"text": "a", "label": 0.5}] * 50 + [{"text": "a", "label": None}], "/task/label", "no finite number"),
        ([{"text": "a", "label": 0.5}] * 50, "/task/label", "same number in every row"),
        ([{"tokens": ["a"], "tags": ["O"]}] * 50, "/task/tags", "only 'O'"),
        ([{"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}] * 50, "/task/tokens", "row 2"),
        ([{"tokens": ["a", "b"], "tags": ["O", "B-X"]}] * 4, "/splits/eval", "has not the 6 rows"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(
    api: Api, model: str, rows: list[Row], pointer: str, words: str
) -> None:
    answer = api.submit(spec_of(model, uploaded(api, rows), training={"batch_size": 1}))
    assert answer.status_code == 422, answer.text
    assert words in detail(answer, pointer)


def test_questions_on_one_context_cannot_be_held_out(api: Api, model: str) -> None:
    dataset = api.upload_dataset(train=("train.json", squad(1, questions=100))).json()["uri"]
    assert "same context" in refused(api, model, dataset, "/splits/eval")


def test_questions_need_a_model_that_tells_them_from_contexts(api: Api) -> None:
    one_type = str(api.upload_model(bert_files(type_vocab_size=1)).json()["uri"])
    dataset = api.upload_dataset(train=("train.json", squad(100))).json()["uri"]
    assert "one token type" in refused(api, one_type, dataset, "/model")
