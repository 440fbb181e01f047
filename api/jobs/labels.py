"""Checks the rows of a job by what is known of its columns: labels, texts, and rows to hold out."""

from collections import Counter
from collections.abc import Mapping, Sequence

from api.datasets.columns import MAX_VALUES, Column, Value
from api.datasets.labels import values_over
from api.jobs.findings import Findings
from api.jobs.splits import Chosen
from pruning_core.spec import TextClassification
from store import JsonObject

#: Share of the training rows held out where there is no split to evaluate on; of each label, rounded.
HOLDOUT = 0.1


def check_texts(task: TextClassification, columns: Mapping[str, Column], chosen: Chosen, findings: Findings) -> None:
    """Note rows without a text."""
    for field, name in (("text", task.text), ("text_pair", task.text_pair)):
        if name is not None:
            _require_complete(field, columns[name], chosen, findings)


def read_labels(
    task: TextClassification, column: Column, chosen: Chosen, config: JsonObject, findings: Findings
) -> list[Value] | None:
    """The labels in the order of their ids; None, and a note, where there are not two or more clean ones.

    The order is the sorted one, or that of the uploaded model if it knows exactly these labels.
    """
    complete = _require_complete("label", column, chosen, findings)
    train = values_over(column, [chosen.train])
    evaluated = values_over(column, [chosen.eval]) if chosen.eval else Counter()
    if train is None or evaluated is None:
        findings.wrong(
            ("task", "label"),
            f"Column {column.name!r} has more than {MAX_VALUES:,} different values, or very long ones: these are no "
            "labels. Name the column with the labels in task.label.",
        )
        return None
    if len(train) < 2:
        only = f"only {next(iter(train))!r}" if train else "no value at all"
        findings.wrong(
            ("task", "label"),
            f"Column {column.name!r} has {only} in split {chosen.train!r}. Two classes are the least to tell apart.",
        )
        return None
    if unseen := sorted(set(evaluated) - set(train)):
        findings.wrong(
            ("splits", "eval"),
            f"Split {chosen.eval!r} has labels that split {chosen.train!r} has not: "
            f"{', '.join(map(repr, unseen[:5]))}{' …' if len(unseen) > 5 else ''}. Add rows with them to "
            f"{chosen.train!r}, or take them out.",
        )
        return None
    return _ordered(train, config) if complete else None


def _require_complete(field: str, column: Column, chosen: Chosen, findings: Findings) -> bool:
    for split in filter(None, (chosen.train, chosen.eval)):
        content = column.splits[split]
        if content.nulls:
            more = f" and {content.nulls - 1:,} more rows" if content.nulls > 1 else ""
            findings.wrong(
                ("task", field),
                f"Column {column.name!r} is empty in split {split!r}, row {content.first_null_row}{more}. Fill it, or "
                "remove the rows.",
            )
            return False
    return True


def _ordered(labels: Counter[Value], config: JsonObject) -> list[Value]:
    by_name = {str(label): label for label in labels}
    id2label = config.get("id2label")
    if isinstance(id2label, Mapping) and len(by_name) == len(id2label):
        try:
            names = [str(id2label[str(index)]) for index in range(len(id2label))]
        except KeyError:
            names = []
        if set(names) == set(by_name):
            return [by_name[name] for name in names]
    return sorted(labels)


def held_out_rows(rows: Sequence[int]) -> int:
    """How many rows are held out: a tenth of each label, rounded, but never all of them."""
    return sum(min(round(HOLDOUT * count), count - 1) for count in rows)


def training_rows(rows: int, column: Column, chosen: Chosen, findings: Findings) -> int | None:
    """Rows left to train on after holding out; None, and a note, where none can be held out."""
    if chosen.eval is not None:
        return rows
    values = values_over(column, [chosen.train])
    held = held_out_rows(list(values.values())) if values else 0
    if held == 0:
        findings.wrong(
            ("splits", "eval"),
            f"There is no split to evaluate on, and no label has the 6 rows in {chosen.train!r} of which one could be "
            "held out. Upload a validation split, or more rows.",
        )
        return None
    return rows - held
