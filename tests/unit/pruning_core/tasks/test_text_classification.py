"""Text classification: many classes, pairs, and labels of every kind."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers.utils.generic import ModelOutput

from pruning_core.columns import TextClassification
from pruning_core.tasks.base import DataError, Label
from pruning_core.tasks.holdout import stratified_holdout
from pruning_core.tasks.registry import task_of
from pruning_core.tasks.text_classification import ClassifyTexts
from tests.unit.pruning_core.tasks.tokenizers import word_pieces

COLUMNS = TextClassification(text="text", label="label")
TOKENIZER = word_pieces("a film play good")


def test_a_hundred_and_fifty_classes_are_told_apart_and_held_out_in_proportion() -> None:
    names = [f"intent {number:03}" for number in range(150)]
    rows = pa.table({"text": ["a film"] * 1500, "label": names * 10})
    assert ClassifyTexts.labels_in([rows], COLUMNS) == names
    task = task_of(COLUMNS, names)
    assert task.head()["num_labels"] == 150
    split = task.encode(rows, TOKENIZER, 16)
    assert split[149]["labels"] == 149
    train, held = task.hold_out(rows, 0.1, seed=0)
    assert np.bincount(np.arange(1500)[held] % 150, minlength=150).tolist() == [1] * 150
    assert len(train) == 1350
    judge = task.quality(split, torch.device("cpu"))
    answers = torch.eye(150)[torch.tensor([0, 1, 2, 3, 9])]  # of these rows the last one's answer is wrong
    judge.update(np.arange(5), ModelOutput(logits=answers), {"labels": torch.tensor([0, 1, 2, 3, 4])})
    assert judge.compute()["accuracy"] == pytest.approx(4 / 5)
    assert task.trivial(split) == pytest.approx(1 / 150)


def test_the_second_text_of_a_pair_has_its_own_type() -> None:
    task = task_of(TextClassification(text="text", text_pair="other", label="label"), ["no", "yes"])
    rows = pa.table({"text": ["a film"], "other": ["good play"], "label": ["yes"]})
    example = task.encode(rows, TOKENIZER, 16)[0]
    assert TOKENIZER.convert_ids_to_tokens(example["input_ids"]) == (
        ["[CLS]", "a", "film", "[SEP]", "good", "play", "[SEP]"]
    )
    assert example["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert len(task.encode(rows, TOKENIZER, 6)[0]["input_ids"]) == 6


@pytest.mark.parametrize("labels", [[False, True], [-1, 3], ["no", "yes"]])
def test_labels_may_be_truths_whole_numbers_or_texts(labels: list[Label]) -> None:
    rows = pa.table({"text": ["a film"] * 4, "label": labels[::-1] * 2})
    assert ClassifyTexts.labels_in([rows], COLUMNS) == labels
    task = task_of(COLUMNS, labels)
    assert task.encode(rows, TOKENIZER, 16)[0]["labels"] == 1
    assert task.head()["id2label"] == {0: str(labels[0]), 1: str(labels[1])}


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        (None, "yes", "Column 'text' holds no text in row 2"),
        ("a", None, "Column 'label' holds no label in row 2"),
        ("a", "so", "'so', which is not one of the run's labels, in row 2"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named(text: str | None, label: str | None, words: str) -> None:
    rows = pa.table({"text": ["a", text], "label": ["no", label]})
    with pytest.raises(DataError, match=words):
        task_of(COLUMNS, ["no", "yes"]).encode(rows, TOKENIZER, 16)


def test_no_class_is_held_out_whole() -> None:
    train, held = stratified_holdout(np.array([0] * 20 + [1]), 0.9, seed=0)
    assert 20 in train
    assert len(held) == 18
    for rows in ([0, 1], list(range(30))):
        with pytest.raises(DataError, match="Too few rows"):
            stratified_holdout(np.array(rows), 0.1, seed=0)
