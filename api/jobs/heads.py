"""Whether a stored model has a head for a task, as far as its configuration and tensors tell."""

from collections.abc import Sequence

from api.datasets.columns import Value
from api.jobs.columns import Task
from api.models.shapes import shapes_of
from pruning_core.columns import QuestionAnswering, Regression
from store import Model

#: How transformers calls the classes of models with a head for the task.
_CLASSES = {
    "text-classification": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "question-answering": "ForQuestionAnswering",
    "token-classification": "ForTokenClassification",
}

#: The last matrix of a head, whose rows are the answers; `score` is GPT-2's, `classification_head` T5's.
_SPANS = ("qa_outputs.weight",)
_CLASSES_OF_TEXT = (
    "classifier.weight",
    "classifier.out_proj.weight",
    "score.weight",
    "classification_head.out_proj.weight",
)


def answers_of(task: Task, labels: Sequence[Value]) -> int:
    """How many outputs the task's head has."""
    return 2 if isinstance(task, QuestionAnswering) else 1 if isinstance(task, Regression) else len(labels)


def has_head(model: Model, task: Task, labels: Sequence[Value]) -> bool:
    """Whether the model's own head would serve for the task; a fresh one would answer at random."""
    classes = model.config.get("architectures")
    if isinstance(classes, Sequence) and classes and not str(classes[0]).endswith(_CLASSES[task.type]):
        return False
    shapes = shapes_of(model)
    names = _SPANS if isinstance(task, QuestionAnswering) else _CLASSES_OF_TEXT
    return any(shapes[name][0] == answers_of(task, labels) for name in names if name in shapes)
