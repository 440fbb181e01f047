"""Distillation at submit: whom a job may learn from. And jobs that train nothing, which need a head that is there."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.test_tasks import rated, squad, tagged, uploaded
from tests.unit.api.uploads import CONFIG, VOCABULARY, bert_files, bert_tensors, sentences


def with_head(name: str = "classifier.weight", rows: int = 2, layers: int = 2, **config: object) -> dict[str, bytes]:
    """The files of a BERT with a head of so many outputs."""
    head = np.zeros((rows, 8), dtype=np.float32)
    config = {**CONFIG, "num_hidden_layers": layers, **config}
    return {
        **bert_files(),
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save({**bert_tensors(layers), name: head}),
    }


def uri(api: Api, files: dict[str, bytes]) -> str:
    answer = api.upload_model(files)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uri"])


@pytest.fixture
def spec(model: str, dataset: str) -> dict[str, Any]:
    return {"model": model, "dataset": dataset, "method": "movement", "target_sparsity": 0.9}


UNTRAINED = {
    "method": "magnitude",
    "training": {"epochs": 0, "dense_baseline": False},
}


def test_the_job_s_own_model_is_the_teacher_unless_another_is_named(api: Api, spec: dict[str, Any]) -> None:
    made = api.submit({**spec, "distillation": {}}).json()["spec"]["distillation"]
    assert made == {"teacher": "self", "alpha": 0.9, "temperature": 2.0, "hidden": 0.0}
    assert api.submit(spec).json()["spec"]["distillation"] is None


def test_another_model_with_a_head_for_these_labels_may_teach(api: Api, spec: dict[str, Any]) -> None:
    teacher = uri(api, with_head(layers=3, architectures=["BertForSequenceClassification"]))
    answer = api.submit({**spec, "distillation": {"teacher": teacher, "alpha": 0.5}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["spec"]["distillation"]["teacher"] == teacher
    same = uri(api, with_head())
    assert api.submit({**spec, "distillation": {"teacher": same, "hidden": 1.0}}).status_code == 202


def test_a_teacher_s_order_of_the_labels_is_the_job_s(api: Api, spec: dict[str, Any]) -> None:
    names = {"0": "positive", "1": "negative"}
    teacher = uri(api, with_head(id2label=names))
    job = api.submit({**spec, "distillation": {"teacher": teacher}}).json()
    assert job["spec"]["labels"] == ["positive", "negative"]
    otherwise = uri(api, with_head(id2label={"0": "negative", "1": "positive"}))
    answer = api.submit({**spec, "model": otherwise, "distillation": {"teacher": teacher}})
    said = detail(answer, "/distillation/teacher")
    assert "the order positive, negative, and this job in the order negative, positive. Fine-tune it again" in said
    assert "id2label" not in said, "names alone would have it teach the opposite"


def test_labels_of_other_names_are_refused_and_those_that_differ_in_case_are_the_same(
    api: Api, spec: dict[str, Any]
) -> None:
    other = uri(api, with_head(id2label={"0": "anger", "1": "joy"}))
    said = detail(api.submit({**spec, "distillation": {"teacher": other}}), "/distillation/teacher")
    assert "The teacher has the labels anger, joy, and this job has negative, positive" in said
    said = detail(api.submit({**spec, **UNTRAINED, "model": other}), "/model")
    assert "the model has the labels anger, joy, and this job has negative, positive" in said
    assert api.submit({**spec, "model": other}).status_code == 202, "what trains learns the job's labels"

    shouted = uri(api, with_head(id2label={"0": "POSITIVE", "1": "NEGATIVE"}))
    for job in ({**spec, "distillation": {"teacher": shouted}}, {**spec, **UNTRAINED, "model": shouted}):
        answer = api.submit(job)
        assert answer.status_code == 202, answer.text
        assert answer.json()["spec"]["labels"] == ["positive", "negative"]


def test_names_that_say_nothing_go_by_their_place_and_a_warning_says_how(api: Api, spec: dict[str, Any]) -> None:
    # As it was given, and as transformers writes it.
    for files in (with_head(id2label={"0": "LABEL_0", "1": "LABEL_1"}), with_head()):
        numbered = uri(api, files)
        for job in ({**spec, "distillation": {"teacher": numbered}}, {**spec, **UNTRAINED, "model": numbered}):
            answer = api.submit(job)
            assert answer.status_code == 202, answer.text
            assert any("LABEL_0 is negative, LABEL_1 is positive" in warning for warning in answer.json()["warnings"])


def test_a_teacher_that_cannot_teach_is_refused(api: Api, spec: dict[str, Any]) -> None:
    other_words = with_head() | {"vocab.txt": "\n".join([*VOCABULARY[:5], "bad", "good", "film"]).encode()}
    cases = {
        "no sequence-classification head": (bert_files(), 0.0, "has no text-classification head"),
        "three labels": (with_head(rows=3), 0.0, "for the 2 labels of this job"),
        "a head for words": (
            with_head(architectures=["BertForTokenClassification"]),
            0.0,
            "has no text-classification",
        ),
        "another vocabulary": (other_words, 0.0, "tokenizer is another than the model's: it has other tokens"),
        "more layers": (with_head(layers=3), 1.0, "number of layers is 3 and the model's 2"),
    }
    before = None
    for what, (files, hidden, words) in cases.items():
        teacher = uri(api, files)
        before = api.stored()
        answer = api.submit({**spec, "distillation": {"teacher": teacher, "hidden": hidden}})
        assert pointers(answer) == {"/distillation/teacher"}, (what, answer.text)
        assert words in detail(answer, "/distillation/teacher"), (what, answer.text)
        assert api.stored() == before


def word_pieces(*, lowercase: bool = True, pretty: bool = False, tokens: list[str] = VOCABULARY) -> bytes:
    """BERT's tokenizer.json; `pretty` as `save_pretrained` writes it: another layout, and the last run's settings."""
    tokenizer = Tokenizer(models.WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    if pretty:
        tokenizer.enable_truncation(16)
        tokenizer.enable_padding()
    return tokenizer.to_str(pretty).encode()


def with_tokenizer(raw: bytes, *, lowercase: bool = True) -> dict[str, bytes]:
    settings = json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}).encode()
    files = {**with_head(), "tokenizer.json": raw, "tokenizer_config.json": settings}
    del files["vocab.txt"]
    return files


@pytest.mark.parametrize("student", [with_tokenizer(word_pieces()), bert_files()], ids=["tokenizer.json", "vocab.txt"])
def test_a_teacher_whose_tokenizer_was_written_anew_may_teach(
    api: Api, spec: dict[str, Any], student: dict[str, bytes]
) -> None:
    """As the service itself exports it: other bytes, the same tokens."""
    teacher = uri(api, with_tokenizer(word_pieces(pretty=True)))
    answer = api.submit({**spec, "model": uri(api, student), "distillation": {"teacher": teacher}})
    assert answer.status_code == 202, answer.text


def test_a_teacher_whose_tokenizer_does_otherwise_may_not(api: Api, spec: dict[str, Any]) -> None:
    student = uri(api, with_tokenizer(word_pieces()))
    swapped = [*VOCABULARY[:5], *reversed(VOCABULARY[5:])]
    others = {
        "other numbers": with_tokenizer(word_pieces(tokens=swapped)),
        "fewer tokens": with_tokenizer(word_pieces(tokens=VOCABULARY[:-1])),
        "another case": with_tokenizer(word_pieces(tokens=VOCABULARY, lowercase=False), lowercase=False),
    }
    for what, files in others.items():
        answer = api.submit({**spec, "model": student, "distillation": {"teacher": uri(api, files)}})
        assert pointers(answer) == {"/distillation/teacher"}, (what, answer.text)
        assert "tokenizer is another than the model's" in detail(answer, "/distillation/teacher"), what


@pytest.mark.parametrize(("merges", "status"), [(["b a", "ba d"], 202), (["a d", "b ad"], 422)])
def test_pairs_must_be_joined_in_the_same_order(api: Api, spec: dict[str, Any], merges: list[str], status: int) -> None:
    """RoBERTa's files, plain for the student and as one tokenizer.json for the teacher."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "d", "ba", "bad", "ad"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    plain = {
        "vocab.json": json.dumps(vocabulary).encode(),
        "merges.txt": b"#version: 0.2\nb a\nba d\n",
        "tokenizer_config.json": b'{"tokenizer_class": "RobertaTokenizer"}',
    }
    pairs = [(first, second) for first, second in (merge.split(" ") for merge in merges)]
    whole = {"tokenizer.json": Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>")).to_str().encode(),
             "tokenizer_config.json": plain["tokenizer_config.json"]}  # fmt: skip
    student, teacher = (
        uri(api, {**{name: raw for name, raw in with_head(vocab_size=11).items() if name != "vocab.txt"}, **files,
                  "model.safetensors": headed(len(tokens))})
        for files in (plain, whole)
    )  # fmt: skip
    assert api.submit({**spec, "model": student, "distillation": {"teacher": teacher}}).status_code == status


def headed(vocab_size: int) -> bytes:
    """A BERT with a head for two labels and so many embeddings."""
    words = np.zeros((vocab_size, 8), dtype=np.float32)
    head = np.zeros((2, 8), dtype=np.float32)
    return save({**bert_tensors(), "bert.embeddings.word_embeddings.weight": words, "classifier.weight": head})


def test_teachers_of_another_team_are_unknown(api: Api, spec: dict[str, Any]) -> None:
    other = api.as_other_team()
    foreign = uri(other, with_head())
    answer = api.submit({**spec, "distillation": {"teacher": foreign}})
    assert "There is no model" in detail(answer, "/distillation/teacher")
    answer = api.submit({**spec, "distillation": {"teacher": spec["dataset"]}})
    assert "is a dataset, not a model" in detail(answer, "/distillation/teacher")


@pytest.mark.parametrize(
    ("rows", "head", "outputs"),
    [
        (rated(100), "classifier.weight", 1),
        (tagged(100), "classifier.weight", 2),
        (squad(100), "qa_outputs.weight", 2),
    ],
)
def test_each_task_has_its_own_head(api: Api, model: str, rows: Any, head: str, outputs: int) -> None:
    if isinstance(rows, bytes):
        dataset = api.upload_dataset(train=("train.json", rows)).json()["uri"]
    else:
        dataset = uploaded(api, rows)
    spec = {
        "model": model,
        "dataset": dataset,
        "method": "movement",
        "target_sparsity": 0.9,
        "training": {"batch_size": 8},
    }
    good, bad = uri(api, with_head(head, outputs)), uri(api, with_head(head, outputs + 1))
    assert api.submit({**spec, "distillation": {"teacher": good}}).status_code == 202
    assert "head for" in detail(api.submit({**spec, "distillation": {"teacher": bad}}), "/distillation/teacher")


def test_a_job_that_trains_nothing_needs_a_head_that_is_there(api: Api, spec: dict[str, Any]) -> None:
    answer = api.submit({**spec, **UNTRAINED})
    assert pointers(answer) == {"/model"}
    assert "trains nothing" in detail(answer, "/model")
    answer = api.submit({**spec, **UNTRAINED, "model": uri(api, with_head())})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["spec"]["total_steps"], job["progress"]["total_steps"]) == (0, 0)


def test_wanda_asks_for_nothing_but_a_model_that_is_fine_tuned(api: Api, spec: dict[str, Any]) -> None:
    spec = {**spec, "method": "wanda", "target_sparsity": 0.5}
    assert "or train (training.epochs)" in detail(api.submit(spec), "/model")
    headed = {**spec, "model": uri(api, with_head())}
    answer = api.submit(headed)
    assert answer.status_code == 202, answer.text
    made = answer.json()["spec"]
    assert (made["total_steps"], made["training"]["epochs"], made["pruning"]["schedule"]["shape"]) == (0, 0, "one_shot")
    assert api.submit({**headed, "training": {"epochs": 1}}).json()["spec"]["total_steps"] == 13
    cubic = api.submit({**headed, "pruning": {"schedule": {"shape": "cubic"}}})
    assert "'cubic' does not go with method 'wanda'" in detail(cubic, "/pruning/schedule/shape")


def test_few_rows_are_enough_where_nothing_trains(api: Api, spec: dict[str, Any]) -> None:
    few = api.upload_dataset(train=("t.csv", sentences(20))).json()["uri"]
    headed = uri(api, with_head())
    assert api.submit({**spec, **UNTRAINED, "model": headed, "dataset": few}).status_code == 202
