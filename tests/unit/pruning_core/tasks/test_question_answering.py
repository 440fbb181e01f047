"""Question answering: windows over long contexts, targets in tokens, the best span, and what it is worth."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils.generic import ModelOutput

from pruning_core.columns import QuestionAnswering
from pruning_core.tasks.answers import UnknownLayout, answers_of
from pruning_core.tasks.base import DataError
from pruning_core.tasks.question_answering import AnswerQuestions, best_spans
from pruning_core.tasks.windows import OUTSIDE, Windows, longest_question, spans_in, stride_of
from tests.unit.pruning_core.tasks.tokenizers import byte_pairs, word_pieces

CONTEXT = "The oak is a tree. Its wood was used for ships in Venice, and 1,200 of them sailed in 1571."
QUESTIONS = ["What is the oak?", "Where were ships built?", "How many sailed?"]
ANSWERS = ["a tree", "Venice", "1,200"]
TASK = AnswerQuestions(QuestionAnswering(), [])


def table(context: str = CONTEXT, answers: Sequence[str] = ANSWERS) -> pa.Table:
    """One row per answer, all on one context."""
    return pa.table(
        {
            "question": list(QUESTIONS[: len(answers)]),
            "context": [context] * len(answers),
            "answers": [{"text": [text], "answer_start": [context.find(text)]} for text in answers],
        }
    )


def target_text(split: Windows, item: int) -> str | None:
    """What the targets of a window say, read back from the context; None where it is the CLS token."""
    first, last = split.targets[item]
    offsets = split.offsets_of(item)
    if offsets[first, 0] == OUTSIDE:
        assert first == last == 0
        return None
    return split.text(int(split.rows[item]), offsets[first, 0], offsets[last, 1])


def judged(split: Windows, tokenizer: PreTrainedTokenizerFast, items: Sequence[int], sure: dict[int, float]) -> float:
    """F1 where the model is sure of the target in some windows, each with its own logit."""
    quality = TASK.quality(split, torch.device("cpu"))
    chosen = np.array(items)
    batch = TASK.collate(tokenizer, [split[int(item)] for item in chosen])
    start, end = (torch.zeros(batch["input_ids"].shape) for _ in range(2))
    for place, item in enumerate(items):
        start[place, split.targets[item, 0]] = sure.get(item, 0.0)
        end[place, split.targets[item, 1]] = sure.get(item, 0.0)
    quality.update(chosen, ModelOutput(start_logits=start, end_logits=end), batch)
    return quality.compute()["f1"]


@pytest.mark.parametrize("make", [word_pieces, byte_pairs])
def test_a_target_is_the_answer_in_tokens(make: type[PreTrainedTokenizerFast]) -> None:
    tokenizer = make(CONTEXT, *QUESTIONS)
    split = TASK.encode(table(), tokenizer, 384)
    assert split.rows.tolist() == [0, 1, 2]
    assert [target_text(split, item) for item in range(3)] == ANSWERS
    example = split[0]
    assert example["start_positions"] <= example["end_positions"] < len(example["input_ids"]) == split.lengths[0]


def test_characters_of_several_bytes_are_counted_as_characters() -> None:
    context = "Über allen Gipfeln ist Ruh, 東京都 auch — naïve Größe."
    answers = ["Ruh", "東京都", "naïve Größe"]
    split = TASK.encode(table(context, answers), byte_pairs(context), 384)
    assert [target_text(split, item) for item in range(3)] == answers


def test_a_long_context_is_read_through_overlapping_windows_that_miss_nothing() -> None:
    tokenizer = word_pieces(CONTEXT, *QUESTIONS)
    split = TASK.encode(table(), tokenizer, 20)
    assert split.lengths.max() <= 20
    for row in range(3):
        items = np.flatnonzero(split.rows == row)
        assert len(items) > 1
        ranges = [own[own[:, 0] != OUTSIDE] for own in (split.offsets_of(int(item)) for item in items)]
        assert ranges[0][0, 0] == 0
        assert ranges[-1][-1, 1] == len(CONTEXT)
        for one, other in pairwise(ranges):
            shared = [tuple(pair) for pair in one.tolist() if pair in other.tolist()]
            assert len(shared) == stride_of(20)
        found = [target_text(split, int(item)) for item in items]
        assert set(found) == {ANSWERS[row], None}, "the answer where it is whole in the window, else CLS"


def test_a_question_too_long_for_the_model_is_cut_and_leaves_room_for_the_context() -> None:
    question = "Is the oak really " + "very " * 500 + "old?"
    long = table().set_column(0, "question", pa.array([question] * 3))
    for make, special in ((word_pieces, 3), (byte_pairs, 4)):
        tokenizer = make(CONTEXT, question)
        for max_length in (8, 9, 20, 64, 384):
            split = TASK.encode(long, tokenizer, max_length)
            assert split.lengths.max() <= max_length
            within = [own[own[:, 0] != OUTSIDE] for own in map(split.offsets_of, range(len(split)))]
            assert all(len(own) > 0 for own in within)
            room = max_length - special - longest_question(max_length, special)
            assert room > stride_of(max_length), "each window goes on"
            ends = [own[-1, 1] for own, row in zip(within, split.rows, strict=True) if row == 2]
            assert ends[-1] == len(CONTEXT)


def test_answers_come_in_either_layout_and_with_several_golds() -> None:
    texts = ["a tree", " tree", "", None]
    together = {"text": texts, "answer_start": [11, 12, 0, 0]}
    apart = [{"text": text, "answer_start": start} for text, start in zip(texts, [11, 12, 0, 0], strict=True)]
    assert answers_of(together) == answers_of(apart) == (["a tree", " tree"], [11, 12])
    assert answers_of({"text": ["x"], "answer_start": []}) == (["x"], [-1])
    assert answers_of(None) == answers_of([]) == answers_of({"text": None, "answer_start": None}) == ([], [])
    rows = table().slice(0, 1).set_column(2, "answers", pa.array([apart[:2]]))
    split = TASK.encode(rows, word_pieces(CONTEXT), 384)
    assert target_text(split, 0) == "a tree", "the first gold is learned"
    assert split.golds(0) == ["a tree", " tree"], "all of them count"


@pytest.mark.parametrize("start", [0, 11, None])
def test_a_single_answer_needs_no_list(start: int | None) -> None:
    """It was read letter by letter: the answer learnt was "a"."""
    value = {"text": "a tree", "answer_start": start}
    assert answers_of(value) == answers_of([value]) == (["a tree"], [-1 if start is None else start])
    assert answers_of({"text": "a tree"}) == (["a tree"], [-1])
    rows = table().slice(0, 1).set_column(2, "answers", pa.array([value]))
    split = TASK.encode(rows, word_pieces(CONTEXT), 384)
    assert target_text(split, 0) == "a tree"
    assert split.golds(0) == ["a tree"]


UNKNOWN: list[object] = [
    "a tree",
    ["a tree"],
    7,
    [None],
    {"answer": "a tree"},
    {"text": "a tree", "answer_start": [11]},
    {"text": "a tree", "answer_start": 11.0},
    {"text": "a tree", "answer_start": True},
    {"text": ["a tree"], "answer_start": 11},
    {"text": ["a tree"], "answer_start": [11, 12]},
    {"text": [7], "answer_start": [11]},
    {"text": 7, "answer_start": 11},
    [{"text": ["a tree"], "answer_start": [11]}],
    [{"answer": "a tree"}],
]


@pytest.mark.parametrize("value", UNKNOWN, ids=str)
def test_answers_in_a_layout_that_we_do_not_know_are_refused_with_their_row(value: object) -> None:
    with pytest.raises(UnknownLayout):
        answers_of(value)
    rows = table().slice(0, 1).set_column(2, "answers", pa.array([value]))
    with pytest.raises(
        DataError, match=r"Column 'answers' holds .* in row 1\. Answers are \{\"text\": \[\"an oak\"\], .*"
    ):
        TASK.encode(rows, word_pieces(CONTEXT), 64)


def test_an_answer_that_is_not_at_its_start_is_searched_for() -> None:
    context = "one two one two"
    assert spans_in(context, ["two"], [4]) == [(4, 7)]
    assert spans_in(context, ["two"], [5]) == [(4, 7)], "the nearest occurrence"
    assert spans_in(context, ["two"], [11]) == [(12, 15)]
    assert spans_in(context, ["two"], [400]) == [(12, 15)]
    assert spans_in(context, ["two"], [-1]) == [(4, 7)]
    assert spans_in(context, [" two "], [3]) == [(4, 7)], "blanks around an answer are no part of it"
    assert spans_in(context, ["three", "one"], [0, 0]) == [(0, 3)], "what is nowhere is left out"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("question", None, "Column 'question' holds no text in row 2"),
        ("context", None, "Column 'context' holds no text in row 2"),
        ("answers", None, "Column 'answers' holds no answer in row 2"),
        ("answers", {"text": [], "answer_start": []}, "Column 'answers' holds no answer in row 2"),
        (
            "answers",
            {"text": ["pine"], "answer_start": [4]},
            "'answers' holds 'pine', which is not in its context, in row 2",
        ),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named(column: str, value: object, words: str) -> None:
    rows = table().to_pylist()
    rows[1][column] = value
    with pytest.raises(DataError, match=words):
        TASK.encode(pa.Table.from_pylist(rows, schema=table().schema), word_pieces(CONTEXT), 64)


def test_the_best_span_is_the_best_of_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(8, 16, generator=generator), torch.randn(8, 16, generator=generator)
    allowed = torch.rand(8, 16, generator=generator) > 0.3
    scores, firsts, lasts = best_spans(start, end, allowed)
    for row in range(8):
        pairs = {
            (i, j): float(start[row, i] + end[row, j])
            for i in range(16)
            for j in range(i, 16)
            if allowed[row, i] and allowed[row, j]
        }
        best = max(pairs, key=lambda pair: pairs[pair])
        assert (int(firsts[row]), int(lasts[row])) == best
        assert float(scores[row]) == pytest.approx(pairs[best])


def test_a_span_is_at_most_thirty_tokens_and_only_of_the_context() -> None:
    start, end = torch.zeros(1, 40), torch.zeros(1, 40)
    start[0, 1], end[0, 31], end[0, 30] = 5.0, 9.0, 3.0  # to 31 it would be 31 tokens
    scores, firsts, lasts = best_spans(start, end, torch.ones(1, 40, dtype=torch.bool))
    assert (float(scores), int(firsts), int(lasts)) != (14.0, 1, 31)
    assert int(lasts) - int(firsts) + 1 <= 30
    nothing = best_spans(start, end, torch.zeros(1, 40, dtype=torch.bool))
    assert float(nothing[0]) == -torch.inf


def test_the_surest_window_answers_for_its_row() -> None:
    tokenizer = word_pieces(CONTEXT, *QUESTIONS)
    split = TASK.encode(table(answers=ANSWERS[1:2]), tokenizer, 20)
    items = list(range(len(split)))
    right = [item for item in items if target_text(split, item) is not None]
    wrong = [item for item in items if item not in right]
    assert judged(split, tokenizer, items, dict.fromkeys(right, 9.0)) == 100.0
    assert judged(split, tokenizer, wrong, {}) < 100.0, "a row is judged by those of its windows that were seen"


def test_gold_spans_score_a_hundred_and_padding_changes_nothing() -> None:
    tokenizer = word_pieces(CONTEXT, *QUESTIONS)
    split = TASK.encode(table(), tokenizer, 384)
    assert judged(split, tokenizer, [0, 1, 2], dict.fromkeys(range(3), 9.0)) == 100.0
    assert judged(split, tokenizer, [2], {2: 9.0}) == 100.0, "any subset can be judged"


def test_a_model_that_finds_no_word_is_no_better_than_guessing() -> None:
    split = TASK.encode(table(), word_pieces(CONTEXT, *QUESTIONS), 384)
    assert "share no word" in str(TASK.useless(0.0, split))
    assert TASK.useless(0.1, split) is None
    assert TASK.majority_share(split) is None


def test_a_sample_of_windows_keeps_rows_whole() -> None:
    rows = pa.concat_tables([table()] * 4)
    split = TASK.encode(rows, word_pieces(CONTEXT), 20)
    chosen = split.some(len(split) // 3)
    assert 0 < len(chosen) <= len(split) // 3 + 3
    for row in set(split.rows[chosen].tolist()):
        assert set(np.flatnonzero(split.rows == row)) <= set(chosen)
    assert split.some(10**6).tolist() == list(range(len(split)))


def test_no_context_is_on_both_sides_of_a_hold_out() -> None:
    contexts = [f"Context {number // 5}" for number in range(200)]
    rows = pa.table({"question": ["q"] * 200, "context": contexts, "answers": [None] * 200})
    train, held = TASK.hold_out(rows, 0.1, seed=1)
    assert len(held) == 20
    assert sorted([*train, *held]) == list(range(200))
    assert not {contexts[row] for row in train} & {contexts[row] for row in held}
    assert np.array_equal(held, TASK.hold_out(rows, 0.1, seed=1)[1])
    assert not np.array_equal(held, TASK.hold_out(rows, 0.1, seed=2)[1])
    with pytest.raises(DataError, match="same context"):
        TASK.hold_out(table(), 0.1, seed=1)


def test_padding_takes_no_part_in_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(2, 8, generator=generator) for name in TASK.logits}
    batch = {
        "attention_mask": torch.tensor([[1] * 5 + [0] * 3, [1] * 8]),
        "start_positions": torch.tensor([2, 0]),
        "end_positions": torch.tensor([4, 7]),
    }
    expected = []
    for end in ("start", "end"):
        for row, length in enumerate((5, 8)):
            p = torch.softmax(logits[f"{end}_logits"][row, :length].double(), dim=0)
            expected.append(-float(p[batch[f"{end}_positions"][row]].log()))
    assert float(TASK.loss(ModelOutput(**logits), batch)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_padding_takes_no_part_in_what_a_teacher_passes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(2, 8, generator=generator) for name in TASK.logits}
    teacher = {name: torch.randn(2, 8, generator=generator) for name in TASK.logits}
    mask = torch.tensor([[1] * 5 + [0] * 3, [1] * 8])
    loss = TASK.distillation_loss(ModelOutput(**logits), teacher, {"attention_mask": mask}, 2.0)
    # KL by its definition, over real tokens alone
    expected = []
    for name in TASK.logits:
        for row, length in enumerate((5, 8)):
            p = torch.softmax(teacher[name][row, :length] / 2.0, dim=0)
            q = torch.softmax(logits[name][row, :length] / 2.0, dim=0)
            expected.append(float((p * (p / q).log()).sum()) * 4.0)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)
    changed = {name: values.clone() for name, values in teacher.items()}
    for values in changed.values():
        values[0, 5:] = 100.0
    assert float(TASK.distillation_loss(ModelOutput(**logits), changed, {"attention_mask": mask}, 2.0)) == float(loss)
