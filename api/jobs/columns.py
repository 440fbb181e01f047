"""Finds out which columns hold the texts and the label."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from api.datasets.columns import Column
from api.datasets.labels import LABEL_NAMES, LABEL_TYPES
from api.jobs.findings import Findings
from pruning_core.spec import TextClassification

#: Columns that well-known datasets of pairs have.
_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("query", "passage"),
    ("query", "document"),
)

_REGRESSION = "Regression is not available in this version; use text, integers or booleans as labels."


def task_columns(
    given: TextClassification | None, columns: Mapping[str, Column], findings: Findings
) -> TextClassification | None:
    """The task of a job: as given where that fits the dataset, or inferred; None, and a note, where neither works."""
    return _checked(given, columns, findings) if given is not None else _inferred(columns, findings)


def _checked(task: TextClassification, columns: Mapping[str, Column], findings: Findings) -> TextClassification | None:
    fits = True
    for field, name in (("text", task.text), ("text_pair", task.text_pair), ("label", task.label)):
        if name is None:
            continue
        if name not in columns:
            close = get_close_matches(name, columns, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            findings.wrong(("task", field), f"The dataset has no column {name!r}.{meant} It has: {', '.join(columns)}.")
            fits = False
        elif field == "label":
            fits = _is_label(columns[name], findings) and fits
        elif columns[name].type != "string":
            findings.wrong(
                ("task", field),
                f"Column {name!r} is {columns[name].type}, not text. Name a text column: "
                f"{_names(_texts(columns)) or 'the dataset has none'}.",
            )
            fits = False
    return task if fits else None


def _is_label(column: Column, findings: Findings) -> bool:
    if column.type in LABEL_TYPES:
        return True
    remedy = _REGRESSION if column.type == "float64" else "Labels are text, integers or booleans."
    findings.wrong(("task", "label"), f"The labels in column {column.name!r} are {column.type}. {remedy}")
    return False


def _inferred(columns: Mapping[str, Column], findings: Findings) -> TextClassification | None:
    labels = [name for name in columns if name.lower() in LABEL_NAMES]
    if len(labels) != 1:
        if any(column.type == "answers" for column in columns.values()):
            findings.wrong(
                ("task",),
                "This looks like question answering, which is not available in this version; use a dataset of texts "
                "with labels.",
            )
            return None
        found = f"may be {_names(labels)}" if labels else f"is none that we know; the columns are {_names(columns)}"
        findings.wrong(("task", "label"), f"The column with the label {found}. Name it: {_spelled(columns)}.")
        return None
    label = labels[0]
    texts = [name for name in _texts(columns) if name != label]
    pairs = [(first, second) for first, second in _PAIRS if first in texts and second in texts]
    if len(pairs) == 1:
        text, text_pair = pairs[0]
    elif len(texts) == 1:
        text, text_pair = texts[0], None
    else:
        found = f"may be {_names(texts)}" if texts else "is not there: no column but the label holds text"
        findings.wrong(("task", "text"), f"The column with the text {found}. Name it: {_spelled(columns)}.")
        return None
    if not _is_label(columns[label], findings):
        return None
    return TextClassification(text=text, text_pair=text_pair, label=label)


def _texts(columns: Mapping[str, Column]) -> list[str]:
    return [name for name, column in columns.items() if column.type == "string"]


def _names(names: Collection[str]) -> str:
    return ", ".join(map(repr, names))


def _spelled(columns: Mapping[str, Column]) -> str:
    label = next((name for name in columns if name.lower() in LABEL_NAMES), "…")
    text = next((name for name in _texts(columns) if name != label), "…")
    return f'"task": {{"text": "{text}", "label": "{label}"}}'
