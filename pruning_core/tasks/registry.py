"""The task that belongs to a spec's columns: one line each."""

from collections.abc import Sequence

from pruning_core.columns import Columns, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.tasks.base import Label, Task
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
    """The task on these columns, with its labels."""
    return TASKS[type(columns)](columns, labels)
