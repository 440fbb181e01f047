"""Each task with a real model: what `encode` and `collate` make is what the model's own loss takes."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import processors
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


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("columns", [COLUMNS[0], COLUMNS[1], COLUMNS[3]], ids=lambda columns: columns.type)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_batch_of_empty_texts_is_read(family: str, columns: Columns, special: bool) -> None:
    """GPT-2's tokenizers add no special tokens, so that an empty text comes to nothing."""
    tokenizer = tiny_tokenizer()
    if not special:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A", pair="$A $B:1", special_tokens=[]
        )
    empty = pa.table(
        {
            "text": ["", " "] * 4,
            "pair": [""] * 8,
            "label": ["good", "bad"] * 4,
            "score": [1.0, 2.0] * 4,
            "tokens": [[""], ["", " "]] * 4,
            "tags": [["B-X"], ["B-X", "O"]] * 4,
        }
    )
    task = task_of(columns, TASKS[type(columns)].labels_in([TABLE], columns))
    torch.manual_seed(0)
    model = task.model_class.from_config(tiny_config(family, **task.head()))  # type: ignore[attr-defined]
    split = task.encode(empty, tokenizer, 16)
    assert (max(split.lengths) == 1) is not special
    for items in ([0], [0, 1, 2]):
        loss = model(**task.collate(tokenizer, [split[item] for item in items]))["loss"]
        assert torch.isfinite(loss)
    assert np.isfinite(list(evaluate(model, tokenizer, task, split).values())).all()
