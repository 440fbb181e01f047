"""Each task with a real model: what `encode` and `collate` make is what the model's own loss takes."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import PreTrainedModel

from pruning_core.columns import Columns, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.evaluation import evaluate
from pruning_core.tasks.registry import TASKS, task_of
from tests.tiny import tiny_config, tiny_tokenizer

ROWS = 24
TEXTS = ["the film was great", "some awful music and a plot", "the actor was dull and the scene was bright with music"]
TABLE = pa.table(
    {
        "text": [TEXTS[row % 3] for row in range(ROWS)],
        "pair": ["the plot was boring"] * ROWS,
        "label": ["good", "bad", "bad"] * (ROWS // 3),
        "score": np.linspace(0.0, 5.0, ROWS),
        "answers": [
            {"text": [TEXTS[row % 3].split()[1]], "answer_start": [TEXTS[row % 3].index(" ") + 1]}
            for row in range(ROWS)
        ],
        "tokens": [TEXTS[row % 3].split() for row in range(ROWS)],
        "tags": [["O", "B-X"] + ["O"] * (len(TEXTS[row % 3].split()) - 2) for row in range(ROWS)],
    }
)
COLUMNS: list[Columns] = [
    TextClassification(text="text", text_pair="pair", label="label"),
    Regression(text="text", text_pair="pair", label="score"),
    QuestionAnswering(question="pair", context="text", answers="answers"),
    TokenClassification(tokens="tokens", tags="tags"),
]


@pytest.mark.parametrize("columns", COLUMNS, ids=lambda columns: columns.type)
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "t5"])
def test_a_model_of_each_family_is_trained_and_judged(family: str, columns: Columns) -> None:
    task = task_of(columns, TASKS[type(columns)].labels_in([TABLE], columns))
    torch.manual_seed(0)
    model = task.model_class.from_config(tiny_config(family, **task.head()))  # type: ignore[attr-defined]
    assert isinstance(model, PreTrainedModel)
    tokenizer = tiny_tokenizer()
    if family in {"roberta", "t5"}:  # no second type of tokens
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    split = task.encode(TABLE, tokenizer, 16)
    batch = task.collate(tokenizer, [split[item] for item in range(8)])
    output = model(**batch)
    output["loss"].backward()
    teacher = {name: output[name].detach() + 0.1 * torch.randn_like(output[name]) for name in task.logits}
    for name in task.logits:
        assert output[name].shape[: 1 + task.per_token] == batch["input_ids"].shape[: 1 + task.per_token]
    assert task.distillation_loss(output, teacher, batch, 2.0) > 0
    figures = evaluate(model, tokenizer, task, split)
    assert task.primary_metric in figures
    assert np.isfinite(list(figures.values())).all()
