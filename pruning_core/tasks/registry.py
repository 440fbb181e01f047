"""The task that belongs to a spec's columns: one line each."""

from collections.abc import Sequence

from pruning_core.columns import Columns, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.tasks.base import DataError, Label, Task
from pruning_core.tasks.question_answering import AnswerQuestions
from pruning_core.tasks.regression import RateTexts
from pruning_core.tasks.text_classification import ClassifyTexts
from pruning_core.tasks.token_classification import TagWords

TASKS: dict[type[Columns], type[Task]] = {
    TextClassification: ClassifyTexts,
    Regression: RateTexts,
    QuestionAnswering: AnswerQuestions,
    TokenClassification: TagWords,
}


def task_of(columns: Columns, labels: Sequence[Label]) -> Task:
    """The task on these columns, with its labels.

    Raises:
        DataError: the labels are fewer than two, or not all different.
    """
    task = TASKS[type(columns)]
    if task.labelled:
        _require_distinct(labels)
    return task(columns, labels)


def _require_distinct(labels: Sequence[Label]) -> None:
    """A model's config names its classes by strings, and Python's `True` is its 1."""
    if len(labels) < 2:
        raise DataError(
            f"labels has {len(labels)} of the two classes that are the least to tell apart: {list(labels)}."
        )
    seen: dict[Label, int] = {}
    for place, label in enumerate(labels):
        for key in (label, str(label)):
            if (earlier := seen.setdefault(key, place)) != place:
                both = f"{labels[earlier]!r} and {label!r}"
                raise DataError(f"labels has {both}, which are the same to a model's config. Leave one of them out.")
