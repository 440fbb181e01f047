"""Token classification: tags at first tokens, entities as conlleval counts them, words that were cut off."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
import torch
from nervaluate import Evaluator
from transformers import PreTrainedTokenizerFast
from transformers.utils.generic import ModelOutput

from pruning_core.columns import TokenClassification
from pruning_core.tasks.base import DataError
from pruning_core.tasks.entities import entities_in, follow_a_scheme, scores
from pruning_core.tasks.token_classification import TagWords
from tests.unit.pruning_core.tasks.tokenizers import byte_pairs, word_pieces

COLUMNS = TokenClassification()
TAGS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
TASK = TagWords(COLUMNS, TAGS)
WORDS = [["Ada", "lived", "in", "London"], ["Marie", "Curie", "left"]]
GOLD = [["B-PER", "O", "O", "B-LOC"], ["B-PER", "I-PER", "O"]]
KNOWN = word_pieces("Ada lived in Marie left")  # London and Curie fall to letters


def table(words: Sequence[object] = WORDS, tags: Sequence[object] = GOLD) -> pa.Table:
    return pa.table({"tokens": words, "tags": tags})


def judged(rows: pa.Table, answers: list[list[str]], max_length: int = 64) -> dict[str, float]:
    """The figures where the model answers so at the first token of each word that it sees."""
    split = TASK.encode(rows, KNOWN, max_length)
    judge = TASK.quality(split, torch.device("cpu"))
    batch = TASK.collate(KNOWN, [split[item] for item in range(len(split))])
    logits = torch.zeros(*batch["input_ids"].shape, len(TAGS))
    for item, tags in enumerate(answers):
        for token, word in enumerate(split.words_of(item)):
            if word >= 0:
                logits[item, token, TAGS.index(tags[word])] = 1.0
    judge.update(np.arange(len(split)), ModelOutput(logits=logits), batch)
    return judge.compute()


def test_a_tag_is_learned_at_the_first_token_of_its_word() -> None:
    split = TASK.encode(table(), KNOWN, 64)
    tokens = KNOWN.convert_ids_to_tokens(split[0]["input_ids"])
    assert tokens == ["[CLS]", "Ada", "lived", "in", "L", "##o", "##n", "##d", "##o", "##n", "[SEP]"]
    assert split[0]["labels"] == [-100, 1, 4, 4, 0, -100, -100, -100, -100, -100, -100]
    batch = TASK.collate(KNOWN, [split[0], split[1]])
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 16)
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert batch["labels"][1, :3].tolist() == [-100, 1, 3]


def test_byte_level_tokens_have_their_blanks_although_the_words_are_apart() -> None:
    tokenizer = byte_pairs("Ada lived in London", "Marie Curie left")
    split = TASK.encode(table(), tokenizer, 64)
    together = tokenizer(" Ada lived in London")["input_ids"]
    assert split[0]["input_ids"] == together, "as in running text, each word with the blank before it"
    assert [tag for tag in split[0]["labels"] if tag != -100] == [1, 4, 4, 0]
    assert not tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space, "the model's own tokenizer stays as it is"


def test_gold_tags_score_one_and_every_word_counts() -> None:
    assert judged(table(), GOLD) == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}
    # one of three entities found, and one that is none: precision 1/2, recall 1/3; five of seven words right
    found = judged(table(), [["B-PER", "O", "O", "O"], ["B-PER", "O", "O"]])
    assert found == {
        "precision": pytest.approx(1 / 2),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(2 / 5),
        "accuracy": pytest.approx(5 / 7),
    }


def test_a_model_that_finds_nothing_is_no_better_than_guessing() -> None:
    split = TASK.encode(table(), KNOWN, 64)
    nothing = judged(table(), [["O"] * 4, ["O"] * 3])
    assert "nothing of what is tagged" in str(TASK.useless(nothing["f1"], split))
    assert TASK.useless(judged(table(), GOLD)["f1"], split) is None
    assert TASK.majority_share(split) is None


def test_words_that_were_cut_off_count_as_not_found() -> None:
    # room for [CLS], six tokens and [SEP]
    assert judged(table(), GOLD, max_length=8)["f1"] == 1.0, "'London' begins in time, and only 'left' is cut off, an O"
    longer = table([["in"] * 6 + ["Ada"]], [["O"] * 6 + ["B-PER"]])
    assert judged(longer, [["O"] * 6 + ["B-PER"]], max_length=8) == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "accuracy": 6 / 7,
    }


# (gold, predicted, right, found, there): by conlleval's rules
ENTITIES: list[tuple[str, str, int, int, int]] = [
    ("B-PER I-PER O", "B-PER I-PER O", 1, 1, 1),
    ("B-PER I-PER O", "B-PER O O", 0, 1, 1),  # an end that is wrong
    ("B-PER I-PER O", "B-LOC I-LOC O", 0, 1, 1),  # a type that is wrong
    ("B-PER I-PER O", "O I-PER O", 0, 1, 1),  # an I- that continues nothing begins
    ("B-PER I-PER O", "I-PER I-PER O", 1, 1, 1),
    ("B-PER B-PER O", "B-PER I-PER O", 0, 1, 2),  # neighbours of one type
    ("B-PER I-LOC O", "B-PER B-LOC O", 2, 2, 2),  # another type begins
    ("O O O", "O B-LOC O", 0, 1, 0),
    ("O O B-LOC", "O O B-LOC", 1, 1, 1),
    ("S-PER B-LOC E-LOC", "B-PER B-LOC I-LOC", 2, 2, 2),  # IOBES says the same in more letters
    ("U-PER B-LOC L-LOC", "B-PER B-LOC I-LOC", 2, 2, 2),  # and BILOU
    ("B-a-b I-a-b O", "B-a-b I-a-b O", 1, 1, 1),
    ("B-A I-A I-A", "B-A E-A E-A", 0, 2, 1),  # an end closes: what comes next is another
    ("B-A B-A O", "U-A L-A O", 2, 2, 2),  # and so does a single word
    ("B-A I-A B-A", "B-A L-A I-A", 2, 2, 2),
    ("O B-A I-A", "O E-A I-A", 0, 2, 1),
]


@pytest.mark.parametrize(("gold", "predicted", "right", "found", "there"), ENTITIES)
def test_entities_are_counted_as_in_conlleval(gold: str, predicted: str, right: int, found: int, there: int) -> None:
    one, other = (entities_in(0, tags.split(), schemed=True) for tags in (gold, predicted))
    assert (len(one & other), len(other), len(one)) == (right, found, there)
    figures = scores(one, other)
    assert figures["precision"] == (right / found if found else 0.0)
    assert figures["recall"] == (right / there if there else 0.0)


def chunks(tags: list[str]) -> set[tuple[int, str, int, int]]:
    """The entities by the rules of `conlleval.pl`: `endOfChunk` and `startOfChunk` between each two neighbours."""
    found, start = set(), 0
    before, type_before = "O", ""
    for word, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        prefix = {"U": "S", "L": "E"}.get(prefix, prefix)  # BILOU in the letters of IOBES
        other = kind != type_before
        if before != "O" and (before in "ES" or prefix in "BSO" or other):
            found.add((0, type_before, start, word - 1))
        if prefix != "O" and (prefix in "BS" or before in "ESO" or other):
            start = word
        before, type_before = prefix, kind
    return found


@pytest.mark.parametrize("prefixes", ["BI", "BIES", "BILU"])
def test_any_row_of_tags_has_the_entities_that_conlleval_finds(prefixes: str) -> None:
    """A model may answer any order of tags, not only those that make sense."""
    rng = np.random.default_rng(0)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("LOC", "PER"))]
    for length in rng.integers(1, 12, size=500):
        row = rng.choice(tags, size=length).tolist()
        assert entities_in(0, row, schemed=True) == chunks(row), row


def test_the_figures_are_those_of_nervaluate_s_strict_strategy() -> None:
    rng = np.random.default_rng(0)
    gold = [rng.choice(TAGS, size=length).tolist() for length in rng.integers(1, 12, size=60)]
    predicted = [[tag if rng.random() < 0.7 else str(rng.choice(TAGS)) for tag in row] for row in gold]
    theirs = Evaluator(gold, predicted, tags=["LOC", "PER"], loader="list").evaluate()["overall"]["strict"]
    one, other = (
        set().union(*(entities_in(row, tags, schemed=True) for row, tags in enumerate(rows)))
        for rows in (gold, predicted)
    )
    assert scores(one, other) == pytest.approx(
        {"precision": theirs.precision, "recall": theirs.recall, "f1": theirs.f1}
    )


def test_tags_without_a_scheme_count_word_by_word() -> None:
    assert follow_a_scheme(TAGS)
    assert not follow_a_scheme(["NOUN", "VERB"])
    assert not follow_a_scheme(["O", "PER"])
    assert entities_in(3, ["NOUN", "NOUN", "O"], schemed=False) == {(3, "NOUN", 0, 0), (3, "NOUN", 1, 1)}


def test_whole_numbers_are_tags_too() -> None:
    rows = table(tags=[[3, 0, 0, 2], [3, 4, 0]])
    labels = TagWords.labels_in([rows], COLUMNS)
    assert labels == [0, 2, 3, 4]
    task = TagWords(COLUMNS, labels)
    assert task.head()["id2label"] == {0: "0", 1: "2", 2: "3", 3: "4"}
    assert task.encode(rows, KNOWN, 64)[1]["labels"][:3] == [-100, 2, 3]


def test_the_tags_of_all_splits_are_the_labels() -> None:
    assert TagWords.labels_in([table(), table([["x"]], [["I-LOC"]])], COLUMNS) == TAGS
    with pytest.raises(DataError, match="one tag only"):
        TagWords.labels_in([table([["x"]], [["O"]])], COLUMNS)


STRINGS = pa.list_(pa.string())


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([["a"], ["b", "c"]], [["O"], ["O"]], "'tags' holds 1 tags for the 2 words of 'tokens' in row 2"),
        ([["a"], []], [["O"], []], "'tokens' holds no word in row 2"),
        ([["a"], None], [["O"], ["O"]], "'tokens' holds no word in row 2"),
        ([["a"], ["b"]], [["O"], None], "'tags' holds 0 tags for the 1 words of 'tokens' in row 2"),
        ([["a"], ["b", None]], [["O"], ["O", "O"]], "'tokens' holds nothing for a word in row 2"),
        ([["a"], ["b"]], [["O"], [None]], "'tags' holds no tag for a word in row 2"),
        ([["a"], ["b"]], [["O"], ["B-ORG"]], "'B-ORG', which is not one of the run's tags, in row 2"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named(words: list[object], tags: list[object], message: str) -> None:
    rows = table(pa.array(words, STRINGS), pa.array(tags, STRINGS))
    with pytest.raises(DataError, match=message):
        TASK.encode(rows, KNOWN, 64)
    with pytest.raises(DataError, match=message):
        TASK.hold_out(rows, 0.5, seed=0)


@pytest.mark.parametrize("tokenizer", [KNOWN, byte_pairs("Ada")])
def test_a_word_that_comes_to_no_token_counts_as_not_found(tokenizer: PreTrainedTokenizerFast) -> None:
    split = TASK.encode(table([["Ada", "", "in"]], [["B-PER", "I-PER", "O"]]), tokenizer, 64)
    assert [word for word in split.words_of(0).tolist() if word >= 0] in ([0, 2], [0, 1, 2])
    assert split.tags(0).tolist() == [1, 3, 4]


def test_a_row_of_blanks_is_read_at_its_first_token() -> None:
    split = TASK.encode(table([["", " "], ["Ada"]], [["B-PER", "O"], ["B-PER"]]), KNOWN, 64)
    assert split.words_of(0).tolist() == [0, -1]
    assert split[0]["labels"] == [1, -100], "else a batch of it alone would have a loss of 0/0"
    assert split.words_of(1).tolist() == [-1, 0, -1]


def test_a_teacher_passes_on_its_tags_for_real_tokens_only() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 5, generator=generator), torch.randn(2, 4, 5, generator=generator)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    loss = TASK.distillation_loss(ModelOutput(logits=student), {"logits": teacher}, {"attention_mask": mask}, 2.0)
    expected = []
    for row, length in ((0, 3), (1, 2)):
        for token in range(length):
            p, q = (torch.softmax(side[row, token] / 2.0, dim=0) for side in (teacher, student))
            expected.append(float((p * (p / q).log()).sum()) * 4.0)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)
