"""Whose labels are whose: by name where names say something, by place where they do not."""

import pytest

from pruning_core.labels import disagreement, matched, names_in, taken_by_place


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ["LABEL_0", "LABEL_1"]),  # as transformers reads it, and writes none down
        ({"id2label": None}, []),
        ({"id2label": {"1": "b", "0": "a"}}, ["a", "b"]),
        ({"id2label": {0: "a", 1: "b"}}, ["a", "b"]),
        ({"id2label": {"0": "a", "2": "b"}}, []),
        ({"id2label": {f"{i}": f"{i}" for i in range(12)}}, [str(i) for i in range(12)]),
    ],
)
def test_names_are_read_in_the_order_of_their_ids(config: dict[str, object], names: list[str]) -> None:
    assert names_in(config) == names


@pytest.mark.parametrize(
    ("names", "labels", "order"),
    [
        (["b", "a"], ["a", "b"], ["b", "a"]),
        (["POSITIVE", " negative "], ["negative", "positive"], ["positive", "negative"]),
        (["True", "False"], [False, True], [True, False]),
        (["a", "A"], ["A", "a"], ["a", "A"]),  # told apart by their case alone
        (["A", "a "], ["a", "b"], None),
        (["a", "A"], ["a", "a "], None),
        (["joy", "anger"], ["negative", "positive"], None),
        (["a", "b", "c"], ["a", "b"], None),
        ([], ["a", "b"], None),
    ],
)
def test_labels_are_matched_by_what_their_names_say(
    names: list[str], labels: list[object], order: list[object] | None
) -> None:
    assert matched(names, labels) == order


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["LABEL_0", "LABEL_1"], ["negative", "positive"]),
        (["0", "1"], ["negative", "positive"]),
        ([], ["negative", "positive"]),
        (["contradiction", "entailment"], [0, 1]),
        (["NEGATIVE", "Positive"], ["negative", "positive"]),
        (["LABEL_0"], []),
    ],
)
def test_names_that_agree_or_say_nothing_are_taken(names: list[str], labels: list[object]) -> None:
    assert disagreement(names, labels) is None


@pytest.mark.parametrize(
    ("names", "labels", "words"),
    [
        (["joy", "anger"], ["negative", "positive"], "has the labels joy, anger, and this run has negative, positive"),
        (["1", "0"], ["negative", "positive"], "has the labels 1, 0, and"),  # numbered, but not in their places
        (["POSITIVE", "NEGATIVE"], ["negative", "positive"], "in the order positive, negative, and this run in the"),
        (["LABEL_1", "LABEL_0"], ["a", "b"], "has the labels LABEL_1"),
    ],
)
def test_other_names_and_another_order_are_told_with_both_lists(
    names: list[str], labels: list[object], words: str
) -> None:
    assert words in str(disagreement(names, labels))


def test_what_is_assumed_of_numbers_is_said() -> None:
    assert taken_by_place(["contradiction", "entailment"], [0, 1]) == "contradiction is 0, entailment is 1"
    assert taken_by_place(["LABEL_0", "LABEL_1"], ["no", "yes"]) == "LABEL_0 is no, LABEL_1 is yes"
    for names, labels in ((["no", "yes"], ["no", "yes"]), (["LABEL_0", "LABEL_1"], [0, 1])):
        assert taken_by_place(names, labels) is None
