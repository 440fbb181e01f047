"""What is wrong with a job is refused at submit: the field named, what to do said, nothing stored."""

import json
from typing import Any

import pytest

from api.jobs.findings import Findings
from api.jobs.fit import check_steps
from api.jobs.spec import JobSpec
from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.uploads import bert_files, sentences

_PASSES = "/training/gradient_accumulation"

# (what is wrong, what is added to a good spec, the field that is named, what must be said about it)
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("an unknown method", {"method": "movment"}, "/method", "choose one of movement, "),
    ("a sparsity of 0", {"target_sparsity": 0}, "/target_sparsity", "greater than 0"),
    ("a sparsity of 1", {"target_sparsity": 1}, "/target_sparsity", "less than 1"),
    ("a sparsity in percent", {"target_sparsity": 90}, "/target_sparsity", "not 90. Give the share"),
    ("a sparsity that removes nothing", {"target_sparsity": 1e-9}, "/target_sparsity", "removes none of 1,024 weights"),
    ("a sparsity as text", {"target_sparsity": "0.9"}, "/target_sparsity", "number"),
    ("a sparsity that empties matrices", {"target_sparsity": 0.9999}, "/target_sparsity", "fewer than there are"),
    ("an unknown field", {"sparsity": 0.5}, "/sparsity", "Did you mean target_sparsity?"),
    ("a misspelt nested field", {"training": {"max_lenght": 8}}, "/training/max_lenght", "training.max_length?"),
    ("a field in the wrong place", {"epochs": 3}, "/epochs", "Did you mean training.epochs?"),
    ("an unknown parameter", {"pruning": {"params": {"tau": 1}}}, "/pruning/params/tau", "score_init"),
    ("a parameter that is a list", {"pruning": {"params": {"tau": [1]}}}, "/pruning/params/tau", "text, a number"),
    (
        "a score rate without scores",
        {"method": "magnitude", "training": {"score_learning_rate": 0.1}},
        "/training/score_learning_rate",
        "Leave it out",
    ),
    ("a model of the Hub", {"model": "hf://bert/../base"}, "/model", "hf://namespace/name"),
    ("a model that is not allowed", {"model": "bert-base-uncased"}, "/model", "SECATEUR_HUB_ALLOW"),
    ("a model in a file", {"model": "file://model"}, "/model", "SECATEUR_FILE_ROOTS"),
    ("a dataset of the Hub", {"dataset": "hf://nyu-mll/glue?split=train"}, "/dataset", "?config=name"),
    ("an unknown model", {"model": f"upload://mdl_{'0' * 32}"}, "/model", "GET /v1/models"),
    ("an unknown dataset", {"dataset": f"upload://ds_{'0' * 32}"}, "/dataset", "GET /v1/datasets"),
    ("a bare id", {"dataset": f"ds_{'0' * 32}"}, "/dataset", "write upload://ds_"),
    ("a model for a dataset", {"dataset": f"upload://mdl_{'0' * 32}"}, "/dataset", "is a model, not a dataset"),
    ("a missing column", {"task": {"text": "txt", "label": "label"}}, "/task/text", "Did you mean 'text'?"),
    ("a missing label column", {"task": {"text": "text", "label": "y"}}, "/task/label", "It has: text, label"),
    ("an unknown task", {"task": {"type": "ner"}}, "/task/type", "Use one of text-classification, regression"),
    (
        "a column of another task",
        {"task": {"type": "regression", "text": "text", "label": "label", "txt_pair": "text"}},
        "/task/txt_pair",
        "task.text_pair?",
    ),
    (
        "no numbers",
        {"task": {"type": "regression", "text": "text", "label": "label"}},
        "/task/label",
        "predicts numbers",
    ),
    ("another granularity", {"pruning": {"granularity": "rows"}}, "/pruning/granularity", "Use one of element"),
    ("a block without width", {"pruning": {"granularity": {"block": [4]}}}, "/pruning/granularity", '{"block": [rows'),
    (
        "a block of nothing",
        {"pruning": {"granularity": {"block": [0, 4]}}},
        "/pruning/granularity",
        "Use one of element",
    ),
    ("a scope without meaning", {"pruning": {"granularity": "layer", "scope": "local"}}, "/pruning/scope", "'global'"),
    ("2:4 at another share", {"pruning": {"granularity": "2:4"}}, "/pruning/granularity", "target_sparsity to 0.5"),
    ("rows that do not all fit", {"pruning": {"granularity": "row"}}, "/target_sparsity", "less than one row"),
    (
        "frozen weights without scores",
        {"method": "magnitude", "pruning": {"freeze_weights": True}},
        "/pruning/freeze_weights",
        "learns scores",
    ),
    ("no teacher of that name", {"distillation": {"teacher": "s3://big"}}, "/distillation/teacher", "use upload://"),
    ("a share out of range", {"distillation": {"alpha": 2}}, "/distillation/alpha", "less than or equal to 1"),
    (
        "a teacher left out",
        {"distillation": {}, "training": {"dense_baseline": False}},
        "/training/dense_baseline",
        "name another teacher",
    ),
    ("one column twice", {"task": {"text": "text", "label": "text"}}, "/task", "different columns"),
    ("a task half named", {"task": {"text": "text"}}, "/task/label", "missing"),
    ("a train split that is not there", {"splits": {"train": "all"}}, "/splits/train", "train, validation"),
    ("an eval split that is not there", {"splits": {"eval": "dev"}}, "/splits/eval", "train, validation"),
    ("evaluation on the training split", {"splits": {"eval": "train"}}, "/splits/eval", "Name another one"),
    (
        "a schedule without a window",
        {"pruning": {"schedule": {"warmup": 0.6, "cooldown": 0.4}}},
        "/pruning/schedule",
        "pruning window of 0",
    ),
    ("a run too short to prune in", {"training": {"max_steps": 5}}, "/pruning/schedule", "Train longer"),
    ("too many passes a step", {"training": {"gradient_accumulation": 1025}}, _PASSES, "equal to 1024"),
    (
        "too many passes a step once the batch is halved",
        {"training": {"batch_size": 64, "auto_batch": True, "gradient_accumulation": 1024}},
        _PASSES,
        "equal to 512",
    ),
    ("fewer rows than a batch", {"training": {"batch_size": 512}}, "/training/batch_size", "400 rows"),
    ("more tokens than positions", {"training": {"max_length": 33}}, "/training/max_length", "Use 32 or less"),
    ("a pattern that selects nothing", {"pruning": {"modules": "decoder"}}, "/pruning/modules", "encoder.layer.0"),
    ("a broken pattern", {"pruning": {"modules": "("}}, "/pruning/modules", "regular expression"),
    ("infinity", {"training": {"learning_rate": 1e999}}, "/training/learning_rate", "finite"),
    ("a true number", {"training": {"seed": True}}, "/training/seed", "integer"),
    ("a name of spaces", {"name": "  "}, "/name", "printable"),
    ("a tag with a colon", {"tags": {"a:b": "c"}}, "/tags/a:b", "pattern"),
    ("a NUL in a tag", {"tags": {"a": "\0"}}, "/tags/a", "NUL"),
    ("half a character", {"name": "\ud800"}, "/name", "half a character"),
    ("an unknown precision", {"export": {"packed": "int4"}}, "/export/packed", "'fp32', 'fp16' or 'int8'"),
    ("nothing to take out", {"export": {"structured": True}}, "/export/structured", "Use granularity 'structured'"),
    ("int8 of nothing", {"export": {"int8": True}}, "/export/int8", "set export.onnx to true"),
    ("a priority out of range", {"priority": 10**6}, "/priority", "1000"),
]

UNAVAILABLE: list[tuple[dict[str, Any], str]] = [
    ({"training": {"precision": "fp16"}}, "/training/precision"),
]


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    """A spec that is accepted as it is."""
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}


def test_more_steps_than_can_be_counted_are_refused() -> None:
    asked = {"model": "m", "dataset": "d", "method": "movement", "target_sparsity": 0.9}
    spec = JobSpec.model_validate({**asked, "training": {"epochs": 1000, "batch_size": 1}})
    findings = Findings([])
    check_steps(spec, 10_000, findings)
    assert not findings.errors
    check_steps(spec, 3_000_000, findings)
    [error] = findings.errors
    assert error.pointer == "/training/epochs"
    assert "3000000000 steps" in error.detail


def test_every_bad_spec_is_refused_by_field_and_nothing_is_stored(api: Api, spec: dict[str, Any]) -> None:
    before = api.stored()
    for what, change, pointer, words in BAD:
        # written by hand: httpx would refuse to send Infinity
        raw = json.dumps({**spec, **change}).replace("Infinity", "1e999")
        answer = api.call("POST", "/v1/jobs", content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (what, answer.text)
        assert pointers(answer) == {pointer}, (what, answer.text)
        assert words in detail(answer, pointer), (what, answer.text)
    assert api.stored() == before


def test_what_this_version_cannot_do_is_refused_and_never_ignored(api: Api, spec: dict[str, Any]) -> None:
    before = api.stored()
    for change, pointer in UNAVAILABLE:
        answer = api.submit({**spec, **change})
        assert answer.status_code == 422, (change, answer.text)
        assert pointers(answer) == {pointer}, (change, answer.text)
        assert "not available in this version" in detail(answer, pointer)
    assert api.stored() == before


def test_asking_for_nothing_unbuilt_is_no_mistake(api: Api, spec: dict[str, Any]) -> None:
    answer = api.submit(
        {
            **spec,
            "distillation": None,
            "webhook": None,
            "training": {"gpus": 1},
            "pruning": {"freeze_weights": False, "granularity": "element"},
        }
    )
    assert answer.status_code == 202, answer.text


def test_all_problems_are_named_in_one_answer(api: Api, spec: dict[str, Any]) -> None:
    answer = api.submit(
        {
            **spec,
            "method": "magic",
            "target_sparsity": 1.5,
            "model": "s3://bert",
            "webhook": "https://example.org",
            "task": {"text": "txt", "label": "label"},
            "training": {"max_lenght": 12, "batch_size": 0},
            "splits": {"train": "nowhere"},
        }
    )
    assert pointers(answer) == {
        "/method",
        "/target_sparsity",
        "/model",
        "/webhook",
        "/task/text",
        "/training/max_lenght",
        "/training/batch_size",
        "/splits/train",
    }
    assert "8 problems" in answer.json()["detail"]


def test_an_empty_spec_names_every_field_that_must_be_given(api: Api) -> None:
    answer = api.submit({})
    assert pointers(answer) == {"/model", "/dataset", "/method", "/target_sparsity"}
    assert "POST /v1/models" in detail(answer, "/model")


def test_uploads_of_another_team_are_unknown(api: Api, spec: dict[str, Any]) -> None:
    other = api.as_other_team()
    answer = other.submit(spec)
    assert pointers(answer) == {"/model", "/dataset"}


# (what is wrong, train, validation or None, the field that is named, what must be said)
BadData = tuple[str, bytes, bytes | None, str, str]
BAD_DATA: list[BadData] = [
    ("a label is missing", sentences(40) + b"\nfilm,", None, "/task/label", "split 'train', row 41"),
    ("a text is missing", b"text,label\n,a\n" + sentences(40)[11:], None, "/task/text", "row 1"),
    (
        "a label is missing in validation",
        sentences(40),
        b"text,label\nfilm,",
        "/task/label",
        "split 'validation', row 1",
    ),
    ("one class", sentences(40, ("only",)), None, "/task/label", "only 'only'"),
    (
        "a label that training never saw",
        sentences(40),
        sentences(40, ("negative", "mixed")),
        "/splits/eval",
        "'mixed'",
    ),
    (
        "two columns that may be the label",
        b"text,label,category\n" + b"film,a,b\ngood,b,a\n" * 20,
        None,
        "/task/label",
        "'label', 'category'",
    ),
    ("no column called like a label", b"text,score\n" + b"film,a\ngood,b\n" * 20, None, "/task/label", '"task"'),
    ("two texts", b"title,body,label\n" + b"t,film,a\nt,good,b\n" * 20, None, "/task/text", "'title', 'body'"),
    ("no text", b"x,label\n" + b"1,a\n2,b\n" * 20, None, "/task/text", "no column but the label"),
    ("too few rows to hold any out", sentences(4), None, "/splits/eval", "Upload a validation split"),
    (
        "more classes than 1,000",
        "\n".join(["text,label", *(f"film,c{row}" for row in range(1001))]).encode(),
        None,
        "/task/label",
        "more than 1,000",
    ),
]


@pytest.mark.parametrize("case", BAD_DATA, ids=[case[0] for case in BAD_DATA])
def test_a_dataset_that_does_not_suit_the_job_is_refused(api: Api, model: str, case: BadData) -> None:
    _, train, validation, pointer, words = case
    splits = {"train": ("train.csv", train)} | ({"validation": ("v.csv", validation)} if validation else {})
    dataset = api.upload_dataset(**splits).json()["uri"]
    before = api.stored()
    answer = api.submit(
        {
            "model": model,
            "dataset": dataset,
            "method": "movement",
            "target_sparsity": 0.9,
            "training": {"batch_size": 1},
        }
    )
    assert answer.status_code == 422, answer.text
    assert pointers(answer) == {pointer}, answer.text
    assert words in detail(answer, pointer), answer.text
    assert api.stored() == before


def test_pairs_need_a_model_that_tells_them_apart(api: Api) -> None:
    one_type = str(api.upload_model(bert_files(type_vocab_size=1)).json()["uri"])
    rows = b"".join(b"a film,good,%d\n" % (row % 3) for row in range(400))
    pairs = api.upload_dataset(train=("t.csv", b"premise,hypothesis,label\n" + rows)).json()["uri"]
    spec = {"model": one_type, "dataset": pairs, "method": "movement", "target_sparsity": 0.5}
    before = api.stored()
    assert "one token type" in detail(api.submit(spec), "/task/text_pair")
    assert api.stored() == before
    assert api.submit({**spec, "task": {"text": "premise", "label": "label"}}).status_code == 202


def test_ten_thousand_mistakes_are_answered_with_a_hundred(api: Api, spec: dict[str, Any]) -> None:
    answer = api.submit({**spec, **{f"field_{number}": number for number in range(10_000)}})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 100
    assert "more than 100 problems" in answer.json()["detail"]
