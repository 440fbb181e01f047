"""Precision, recall and F1 of entities, as the CoNLL shared tasks have them."""

import re
from collections.abc import Sequence

from nervaluate import collect_named_entities

#: IOB2 and IOB1, IOBES, BILOU.
_IN_A_SCHEME = re.compile(r"O|[BIESLU]-.+", re.DOTALL)

#: The prefixes of IOBES and BILOU in terms of IOB2: an end is inside, a single word begins.
_PREFIXES = {"S": "B", "U": "B", "E": "I", "L": "I"}

#: Prefixes after which nothing goes on: the last word of an entity, its only word, and a word of none.
_CLOSING = frozenset("ELSUO")

Entity = tuple[int, str, int, int]
"""Row, type, first and last word."""


def follow_a_scheme(tags: Sequence[str]) -> bool:
    """Whether tags mark entities of several words (`B-PER`, `I-PER`); else every word counts by itself."""
    return all(_IN_A_SCHEME.fullmatch(tag) for tag in tags)


def entities_in(row: int, tags: Sequence[str], *, schemed: bool) -> set[Entity]:
    """The entities of one row.

    As in conlleval, an `I-` or `E-` that continues nothing begins an entity, and nothing continues an `E-` or `S-`.
    Where tags follow no scheme, each word that is not `O` is one.
    """
    if not schemed:
        return {(row, tag, word, word) for word, tag in enumerate(tags) if tag != "O"}
    in_iob2 = []
    closed = True
    for tag in tags:
        prefix = _PREFIXES.get(tag[0], tag[0])
        in_iob2.append(("B" if prefix == "I" and closed else prefix) + tag[1:])
        closed = tag[0] in _CLOSING
    return {(row, found["label"], found["start"], found["end"]) for found in collect_named_entities(in_iob2)}


def scores(gold: set[Entity], predicted: set[Entity]) -> dict[str, float]:
    """Precision, recall and F1 over all entities together; type and both ends must be right. Nothing found is 0."""
    right = len(gold & predicted)
    return {
        "precision": right / len(predicted) if predicted else 0.0,
        "recall": right / len(gold) if gold else 0.0,
        "f1": 2 * right / (len(gold) + len(predicted)) if right else 0.0,
    }
