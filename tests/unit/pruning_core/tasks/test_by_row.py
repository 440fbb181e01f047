"""What a judge tells of each row adds up to the metric it tells of all of them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers.utils.generic import ModelOutput

from pruning_core.columns import QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.tasks.base import EncodedSplit, Quality, Task
from pruning_core.tasks.question_answering import AnswerQuestions
from pruning_core.tasks.regression import RateTexts
from pruning_core.tasks.text_classification import ClassifyTexts
from pruning_core.tasks.token_classification import TagWords
from tests.tiny import reviews, tiny_tokenizer

ROWS = 60
WORDS = [text.split() for text in reviews(ROWS)["text"].to_pylist()]
TEXTS = reviews(ROWS)["text"]


def tags(words: list[str]) -> list[str]:
    return [("B-PER", "I-PER", "O", "O", "B-LOC")[len(word) % 5] for word in words]


CASES: dict[str, tuple[Task, pa.Table]] = {
    "text-classification": (
        ClassifyTexts(TextClassification(text="text", label="label"), ["negative", "positive"]),
        reviews(ROWS),
    ),
    "regression": (
        RateTexts(Regression(text="text", label="score"), []),
        pa.table({"text": TEXTS, "score": [float(len(words)) + row / 7 for row, words in enumerate(WORDS)]}),
    ),
    "question-answering": (
        AnswerQuestions(QuestionAnswering(), []),
        pa.table(
            {
                "question": ["the film"] * ROWS,
                "context": TEXTS,
                "answers": [{"text": [" ".join(words[1:3])], "answer_start": [len(words[0]) + 1]} for words in WORDS],
            }
        ),
    ),
    "token-classification": (
        TagWords(TokenClassification(), ["B-LOC", "B-PER", "I-PER", "O"]),
        pa.table({"tokens": WORDS, "tags": [tags(words) for words in WORDS]}),
    ),
}


def judged(task: Task, split: EncodedSplit, seed: int) -> Quality:
    """A judge of random answers, given in batches of seven in an order of chance."""
    quality = task.quality(split, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(split))
    for start in range(0, len(order), 7):
        items = order[start : start + 7]
        batch = task.collate(tiny_tokenizer(), [split[int(item)] for item in items])
        width = max(1, len(task.labels))
        shape = (*batch["input_ids"].shape, width) if task.per_token else (len(items), width)
        logits = {name: torch.randn(shape, generator=generator) for name in task.logits}
        if len(logits) == 2:
            logits = {name: values.squeeze(-1) for name, values in logits.items()}
        quality.update(items, ModelOutput(**logits), batch)
    return quality


@pytest.mark.parametrize("name", CASES)
def test_rows_add_up_to_the_metric(name: str) -> None:
    task, table = CASES[name]
    split = task.encode(table, tiny_tokenizer(), 32)
    quality = judged(task, split, seed=1)
    rows = quality.by_row()
    assert len(rows) == ROWS
    whole = quality.compute()[task.primary_metric]
    assert float(task.metric_of(rows.terms.sum(axis=0))) == pytest.approx(whole, abs=1e-6)
    assert rows.scores.max() <= task.best
    assert len(np.unique(rows.scores)) > 1


@pytest.mark.parametrize("name", CASES)
def test_rows_are_told_in_the_order_of_the_split_whatever_the_order_of_the_answers(name: str) -> None:
    task, table = CASES[name]
    split = task.encode(table, tiny_tokenizer(), 32)
    quality = judged(task, split, seed=2)
    scores = quality.by_row().scores
    for row in range(ROWS):
        said = quality.said(row)
        if name == "text-classification":
            assert scores[row] == float(said == table["label"][row].as_py())
        if name == "regression":
            assert scores[row] == pytest.approx(-((float(said) - table["score"][row].as_py()) ** 2), rel=0.02)
