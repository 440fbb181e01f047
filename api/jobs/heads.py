"""Whether a stored model has a head for a task, as far as its configuration and tensors tell."""

from collections.abc import Sequence

from api.datasets.columns import Value
from api.jobs.columns import Task
from api.jobs.findings import Findings
from api.models.shapes import shapes_of
from pruning_core.columns import QuestionAnswering, Regression
from pruning_core.labels import disagreement, names_in, taken_by_place
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


def other_labels(model: Model, labels: Sequence[Value], role: str, findings: Findings) -> str | None:
    """Why the model's own head would answer wrongly; None, and advice where that is assumed, where it would not.

    Args:
        model: has a head of the right size.
        labels: the job's, in the order of their ids.
        role: what the model is to the job.
        findings: where advice goes.
    """
    names = names_in(model.config)
    if reason := disagreement(names, labels):
        return f"the {role} {reason}".replace("this run", "this job")
    if assumed := taken_by_place(names, labels):
        findings.advise(
            f"The {role}'s labels are taken by their numbers: {assumed}. If that is wrong, name them as in the dataset "
            f"(id2label in the {role}'s config.json)."
        )
    return None
