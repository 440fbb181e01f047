"""Exact match and F1 between answers, as SQuAD's own evaluation script for version 1.1 has them.

Rajpurkar et al. 2016 (arXiv 1606.05250), `evaluate-v1.1.py`. torchmetrics has the rule of version 2.0 for answers that
consist of nothing but articles and punctuation (gold "A", predicted "a"): its F1 is 1 there and the paper's is 0.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(answer: str) -> list[str]:
    """The words that count: lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split()


def exact_match(predicted: str, golds: Sequence[str]) -> float:
    """1 where the words are those of a gold answer, in their order, else 0."""
    return float(any(words_of(predicted) == words_of(gold) for gold in golds))


def f1(predicted: str, golds: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of the words, with the gold answer that suits best."""
    return max(_f1(words_of(predicted), words_of(gold)) for gold in golds)


def _f1(predicted: list[str], gold: list[str]) -> float:
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold)) if common else 0.0
