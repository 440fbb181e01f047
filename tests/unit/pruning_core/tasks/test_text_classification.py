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
from pruning_core.tasks.text_classification import ClassifyTexts, LabelledTexts
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
    assert task.majority_share(split) == 1 / 150


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


def figures_of(answers: list[int], true: list[int], classes: int) -> dict[str, float]:
    judge = task_of(COLUMNS, list(range(classes))).quality(no_split(true), torch.device("cpu"))
    for part in (slice(0, 3), slice(3, None)):
        logits = torch.eye(classes)[torch.tensor(answers[part])]
        judge.update(np.arange(len(answers))[part], ModelOutput(logits=logits), {"labels": torch.tensor(true[part])})
    return judge.compute()


def no_split(true: list[int]) -> LabelledTexts:
    rows = pa.table({"text": ["a film"] * len(true), "label": true})
    return LabelledTexts(rows, ("text",), np.array(true), TOKENIZER, 16)


def test_figures_are_the_fractions_they_stand_for() -> None:
    """A mean in float32 is 0.5270000100135803, and less or more than the share it is compared with."""
    assert figures_of([0] * 527 + [1] * 473, [0] * 1000, 2)["accuracy"] == 0.527
    found = figures_of([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], 4)
    # F1 of class 0: 2·1/(2+2), of 1: 2·2/(2+3), of 2: 0; class 3 does not occur
    assert found == {"accuracy": 3 / 5, "f1_macro": pytest.approx((1 / 2 + 4 / 5 + 0) / 3, abs=1e-15)}


def test_of_rows_of_one_class_nothing_can_be_told() -> None:
    split, task = no_split([1] * 40), task_of(COLUMNS, [0, 1, 2])
    assert task.useless(1.0, split) is None
    assert task.useless(0.95, split) is None


@pytest.mark.parametrize(("most", "total"), [(421, 1228), (3, 5), (527, 1000), (4901, 9801)])
def test_a_model_that_answers_the_majority_is_no_better_than_guessing(most: int, total: int) -> None:
    """As a mean in float32, 421 of 1,228 came out larger than the same share in float64."""
    true = [0] * most + [1 + row % 2 for row in range(total - most)]
    split, task = no_split(true), task_of(COLUMNS, [0, 1, 2])
    guessing = figures_of([0] * total, true, 3)["accuracy"]
    better = figures_of([0] * most + [true[most]] + [0] * (total - most - 1), true, 3)["accuracy"]
    assert (guessing, better) == (most / total, (most + 1) / total)
    assert f"most frequent class ({most / total:.1%})" in str(task.useless(guessing, split))
    assert task.useless(better, split) is None


def test_no_class_is_held_out_whole() -> None:
    train, held = stratified_holdout(np.array([0] * 20 + [1]), 0.9, seed=0)
    assert 20 in train
    assert len(held) == 18
    for rows in ([0, 1], list(range(30))):
        with pytest.raises(DataError, match="Too few rows"):
            stratified_holdout(np.array(rows), 0.1, seed=0)
