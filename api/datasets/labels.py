"""Which columns look like labels, and which labels they hold."""

from collections import Counter
from collections.abc import Iterable

from api.datasets.columns import MAX_VALUES, Column, Value

#: How people call the column with the label.
LABEL_NAMES = frozenset(
    {
        "label", "labels", "category", "class", "target", "sentiment", "intent", "topic", "gold_label", "stance",
        "emotion", "relation", "entailment",
    }
)  # fmt: skip

LABEL_TYPES = frozenset({"string", "int64", "bool"})

#: How people call the column with the number that regression is to predict.
SCORE_NAMES = frozenset({"score", "similarity", "similarity_score", "relatedness", "relatedness_score"})

#: How people call the column with the words of a text, and the one with their tags.
TOKEN_NAMES = frozenset({"tokens", "words"})
TAG_NAMES = frozenset({"tags", "ner_tags", "pos_tags", "chunk_tags", "ner", "labels"})

TAG_TYPES = frozenset({"list<string>", "list<int64>"})


def values_over(column: Column, splits: Iterable[str]) -> Counter[Value] | None:
    """Each value of a column and its rows over some splits, or None where there are too many to be labels."""
    total: Counter[Value] = Counter()
    for split in splits:
        values = column.splits[split].values
        if values is None:
            return None
        total.update(dict(values))
    return total


def candidates(columns: Iterable[Column], rows: int) -> dict[str, Counter[Value]]:
    """The columns that may hold labels: called so, or holding few values for their rows; and those with tags."""
    found = {}
    for column in columns:
        if (
            column.type in TAG_TYPES
            and column.name.lower() in TAG_NAMES
            and (tags := values_over(column, column.splits))
        ):
            found[column.name] = tags
        values = values_over(column, column.splits) if column.type in LABEL_TYPES else None
        if values is None or not 2 <= len(values) <= MAX_VALUES:
            continue
        if column.name.lower() in LABEL_NAMES or len(values) <= rows // 2:
            found[column.name] = values
    return found
