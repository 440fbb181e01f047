"""Exact match and F1 of answers, held against figures worked out by hand from SQuAD's rules."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from pruning_core.tasks.squad_scores import exact_match, f1, words_of

# (predicted, gold answers, exact match, F1)
TABLE: list[tuple[str, list[str], float, float]] = [
    ("Denver Broncos", ["Denver Broncos"], 1.0, 1.0),
    ("the Denver Broncos", ["Denver Broncos"], 1.0, 1.0),  # articles do not count
    ("denver broncos!", ["Denver Broncos"], 1.0, 1.0),  # nor do case and punctuation
    ("Denver", ["Denver Broncos"], 0.0, 2 / 3),  # precision 1, recall 1/2
    ("Broncos Denver", ["Denver Broncos"], 0.0, 1.0),  # F1 knows no order
    ("New York", ["York", "New York City"], 0.0, 4 / 5),  # the better gold: 2/3 and 4/5
    ("New York", ["York", "new york."], 1.0, 1.0),
    ("to be or be", ["be to be"], 0.0, 6 / 7),  # a word counts as often as it is in both: precision 3/4, recall 1
    ("", ["Denver"], 0.0, 0.0),
    ("Paris", ["Denver"], 0.0, 0.0),
    ("an-other", ["another"], 1.0, 1.0),  # punctuation vanishes, it does not divide
    ("A", ["a"], 1.0, 0.0),  # the script's own quirk: nothing is left, and nothing in common is 0
    ("1,000", ["1000"], 1.0, 1.0),
    ("theatre", ["the atre"], 0.0, 0.0),  # articles are whole words
]


@pytest.mark.parametrize(("predicted", "golds", "exact", "overlap"), TABLE)
def test_answers_are_scored_as_the_paper_s_script_does(
    predicted: str, golds: list[str], exact: float, overlap: float
) -> None:
    assert exact_match(predicted, golds) == exact
    assert f1(predicted, golds) == pytest.approx(overlap)


answers = st.text(alphabet="ab cthe.,AT", max_size=20)


@settings(deadline=None)
@given(predicted=answers, golds=st.lists(answers, min_size=1, max_size=3))
def test_torchmetrics_agrees_wherever_words_are_left(predicted: str, golds: list[str]) -> None:
    theirs = squad(
        [{"prediction_text": predicted, "id": "1"}],
        [{"answers": {"text": golds, "answer_start": [0] * len(golds)}, "id": "1"}],
    )
    assert theirs["exact_match"] == 100 * exact_match(predicted, golds)
    if words_of(predicted):
        torch.testing.assert_close(theirs["f1"], torch.tensor(100 * f1(predicted, golds)))
