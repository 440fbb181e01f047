"""Finds out what a dataset is for: which task its columns suit, and which of them holds what."""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches

from api.datasets.columns import Column
from api.datasets.labels import LABEL_NAMES, LABEL_TYPES, SCORE_NAMES, TAG_NAMES, TAG_TYPES, TOKEN_NAMES
from api.jobs.findings import Findings
from pruning_core.columns import QuestionAnswering, Regression, TextClassification, TokenClassification

Task = TextClassification | Regression | QuestionAnswering | TokenClassification
Columns = Mapping[str, Column]

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

_TEXT = frozenset({"string"})
_NUMBERS = frozenset({"int64", "float64"})

#: Which types of columns a field of a task takes.
_TYPES: dict[tuple[str, str], frozenset[str]] = {
    ("text-classification", "label"): LABEL_TYPES,
    ("regression", "label"): _NUMBERS,
    ("question-answering", "answers"): frozenset({"answers"}),
    ("token-classification", "tokens"): frozenset({"list<string>"}),
    ("token-classification", "tags"): TAG_TYPES,
}

#: What people call the columns that a task of its own shape reads.
_NAMES: dict[str, frozenset[str]] = {
    "question": frozenset({"question", "query"}),
    "context": frozenset({"context", "passage", "paragraph"}),
    "answers": frozenset({"answers", "answer"}),
    "tokens": TOKEN_NAMES,
    "tags": TAG_NAMES,
}

#: What a field needs, in words.
_NEEDS: dict[tuple[str, str], str] = {
    ("text-classification", "label"): "Labels are text, integers or booleans.",
    ("regression", "label"): "Regression predicts numbers.",
    ("question-answering", "answers"): "Answers have texts and starts, as in SQuAD; CSV has no place for them.",
    ("token-classification", "tokens"): "Words are a list of texts; CSV has no place for it.",
    ("token-classification", "tags"): "Tags are a list of texts or whole numbers, one for each word.",
}


def task_columns(given: Task | None, wanted: str | None, columns: Columns, findings: Findings) -> Task | None:
    """The task of a job; None, and a note, where it fits the dataset neither as given nor by its columns.

    Args:
        given: the task as the spec has it.
        wanted: the type of task, where the spec names nothing else.
        columns: the dataset's.
        findings: where problems go.
    """
    if given is not None:
        return _checked(_completed(given, columns), columns, findings)
    suited = [wanted] if wanted else _suited(columns)
    if len(suited) > 1:
        findings.wrong(
            ("task",), f'The columns suit {_names(suited, " and ")}. Say which: "task": {{"type": "{suited[0]}"}}.'
        )
        return None
    return _FINDERS[suited[0]](columns, findings)


def _suited(columns: Columns) -> list[str]:
    """The tasks that the columns look like; text classification where they look like nothing."""
    suited = []
    if any(column.type == "answers" for column in columns.values()):
        suited.append("question-answering")
    if _candidates("tokens", columns) and _candidates("tags", columns):
        suited.append("token-classification")
    labels = _labels(columns)
    if [columns[name].type for name in labels] == ["float64"] or (not labels and _scores(columns)):
        suited.append("regression")
    elif labels or not suited:
        suited.append("text-classification")
    return suited


def _checked(task: Task, columns: Columns, findings: Findings) -> Task | None:
    """The task, if the dataset has its columns and they are of the right types."""
    fits = True
    for field, name in task.names().items():
        types = _TYPES.get((task.type, field), _TEXT)
        if name not in columns:
            close = get_close_matches(name, columns, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            findings.wrong(("task", field), f"The dataset has no column {name!r}.{meant} It has: {', '.join(columns)}.")
            fits = False
        elif columns[name].type not in types:
            findings.wrong(("task", field), _why_not(task.type, field, columns[name], columns))
            fits = False
    return task if fits else None


def _why_not(type_: str, field: str, column: Column, columns: Columns) -> str:
    others = _names(_of_types(columns, _TYPES.get((type_, field), _TEXT)))
    if (type_, field) not in _NEEDS:
        named = f"Name a text column: {others or 'the dataset has none'}."
        return f"Column {column.name!r} is {column.type}, not text. {named}"
    words = f"Column {column.name!r} is {column.type}. {_NEEDS[type_, field]}"
    if (type_, column.type) == ("text-classification", "float64"):
        return f'{words} To predict its numbers, set task.type to "regression".'
    return f"{words} {f'Such columns are: {others}.' if others else 'The dataset has no such column.'}"


def _completed(task: Task, columns: Columns) -> Task:
    """The task with the columns that it leaves to us, where they are not called as usual and only one can be meant."""
    found = {}
    for field, name in task.names().items():
        if field in _NAMES and field not in task.model_fields_set and name not in columns:
            candidates = _candidates(field, columns)
            if len(candidates) == 1:
                found[field] = candidates[0]
    return task.model_copy(update=found)


def _classification(columns: Columns, findings: Findings) -> Task | None:
    labels = _labels(columns)
    if len(labels) != 1:
        found = f"may be {_names(labels)}" if labels else f"is none that we know; the columns are {_names(columns)}"
        findings.wrong(("task", "label"), f"The column with the label {found}. Name it: {_spelled(columns)}.")
        return None
    texts = _text_columns(labels[0], columns, findings)
    return texts and _checked(TextClassification(text=texts[0], text_pair=texts[1], label=labels[0]), columns, findings)


def _regression(columns: Columns, findings: Findings) -> Task | None:
    numbers = [name for name in _labels(columns) if columns[name].type in _NUMBERS] or _scores(columns)
    if len(numbers) != 1:
        found = f"may be {_names(numbers)}" if numbers else f"is none that we know; the columns are {_names(columns)}"
        findings.wrong(("task", "label"), f"The column with the number to predict {found}. Name it in task.label.")
        return None
    texts = _text_columns(numbers[0], columns, findings)
    return texts and Regression(text=texts[0], text_pair=texts[1], label=numbers[0])


def _question_answering(columns: Columns, findings: Findings) -> Task | None:
    found = {field: _one(field, columns, findings) for field in ("question", "context", "answers")}
    named = {field: name for field, name in found.items() if name is not None}
    return QuestionAnswering(**named) if len(named) == len(found) else None


def _token_classification(columns: Columns, findings: Findings) -> Task | None:
    tokens, tags = (_one(field, columns, findings) for field in ("tokens", "tags"))
    return None if tokens is None or tags is None else TokenClassification(tokens=tokens, tags=tags)


_FINDERS: dict[str, Callable[[Columns, Findings], Task | None]] = {
    "text-classification": _classification,
    "regression": _regression,
    "question-answering": _question_answering,
    "token-classification": _token_classification,
}


def _one(field: str, columns: Columns, findings: Findings) -> str | None:
    """The one column that a field can mean."""
    candidates = _candidates(field, columns)
    if len(candidates) == 1:
        return candidates[0]
    found = f"may be {_names(candidates)}" if candidates else f"is not there; the columns are {_names(columns)}"
    findings.wrong(("task", field), f"The column with the {field} {found}. Name it in task.{field}.")
    return None


def _candidates(field: str, columns: Columns) -> list[str]:
    """The columns of the right type that are called like a field; of answers, the only ones there are."""
    types = next((kinds for (_, name), kinds in _TYPES.items() if name == field), _TEXT)
    right = _of_types(columns, types)
    return [name for name in right if name.lower() in _NAMES[field]] or (right if field == "answers" else [])


def _labels(columns: Columns) -> list[str]:
    single = LABEL_TYPES | _NUMBERS
    return [name for name, column in columns.items() if name.lower() in LABEL_NAMES and column.type in single]


def _scores(columns: Columns) -> list[str]:
    return [name for name in _of_types(columns, _NUMBERS) if name.lower() in SCORE_NAMES]


def _text_columns(label: str, columns: Columns, findings: Findings) -> tuple[str, str | None] | None:
    texts = [name for name in _of_types(columns, _TEXT) if name != label]
    pairs = [(first, second) for first, second in _PAIRS if first in texts and second in texts]
    if len(pairs) == 1:
        return pairs[0]
    if len(texts) == 1:
        return texts[0], None
    found = f"may be {_names(texts)}" if texts else "is not there: no column but the label holds text"
    findings.wrong(("task", "text"), f"The column with the text {found}. Name it: {_spelled(columns)}.")
    return None


def _of_types(columns: Columns, types: Collection[str]) -> list[str]:
    return [name for name, column in columns.items() if column.type in types]


def _names(names: Collection[str], last: str = ", ") -> str:
    return last.join(map(repr, names))


def _spelled(columns: Columns) -> str:
    label = next((name for name in columns if name.lower() in LABEL_NAMES), "…")
    text = next((name for name in _of_types(columns, _TEXT) if name != label), "…")
    return f'"task": {{"text": "{text}", "label": "{label}"}}'
