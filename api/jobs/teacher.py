"""Checks that a teacher can teach: the same answers to the same tokens as the model that learns from it."""

from collections.abc import Mapping, Sequence

from api.datasets.columns import Value
from api.jobs.columns import Task
from api.jobs.findings import Findings
from api.jobs.fit import cannot_tell_pairs
from api.jobs.heads import answers_of, has_head, other_labels
from api.jobs.spec import JobSpec
from api.jobs.tokens import knows_the_tokens
from pruning_core.architectures import max_tokens
from pruning_core.labels import in_another_order, names_in
from store import BlobStore, JsonObject, Model

_PATH = ("distillation", "teacher")

_WIDTHS = ("hidden_size", "dim", "n_embd", "d_model")
_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")


def check_teacher(
    spec: JobSpec,
    task: Task,
    labels: Sequence[Value],
    models: tuple[Model, Model],
    findings: Findings,
    *,
    blobs: BlobStore,
) -> None:
    """Note why a teacher does not suit; the first reason says enough.

    Args:
        spec: what it is to teach.
        task: the job's.
        labels: the job's, in the order of their ids.
        models: the teacher and the student.
        findings: where a problem goes.
        blobs: where their files are.
    """
    teacher, student = models
    reason = (
        _other_tokens(blobs, teacher, student)
        or _other_answers(task, labels, teacher, findings)
        or _other_inputs(spec, task, teacher)
        or (_other_shape(teacher, student) if spec.distillation is not None and spec.distillation.hidden else None)
    )
    if reason:
        findings.wrong(_PATH, reason)


def _other_tokens(blobs: BlobStore, teacher: Model, student: Model) -> str | None:
    """Both read the same token numbers, so these must stand for the same."""
    if knows_the_tokens(blobs, teacher, student):
        return None
    return (
        "The teacher's tokenizer is another than the model's: it has other tokens, or other numbers for them. Use a "
        'teacher with the same tokenizer, such as a larger model of the same family, or "self".'
    )


def _other_answers(task: Task, labels: Sequence[Value], teacher: Model, findings: Findings) -> str | None:
    if not has_head(teacher, task, labels):
        needed = {"question-answering": "starts and ends of answers", "regression": "one number"}.get(
            task.type, f"the {answers_of(task, labels)} labels of this job"
        )
        return (
            f'The teacher has no {task.type} head for {needed}. Fine-tune it for the task first, or use "self": the '
            "job's own model, fine-tuned without pruning."
        )
    if reason := other_labels(teacher, labels, "teacher", findings):
        remedy = (
            "Fine-tune it again with its labels in this order: its outputs are in the other, and to rename them alone "
            "would have it teach the opposite. Or"
            if in_another_order(names_in(teacher.config), labels)
            else "Where they mean the same, name them alike (id2label in its config.json); else"
        )
        return f'{reason[0].upper()}{reason[1:]}. {remedy} use "self".'
    return None


def _other_inputs(spec: JobSpec, task: Task, teacher: Model) -> str | None:
    most = max_tokens(teacher.config)
    if most is not None and most < spec.training.max_length:
        return (
            f"The teacher has positions for {most} tokens, and training.max_length is {spec.training.max_length}. "
            f"Set that to {most}, or use another teacher."
        )
    if cannot_tell_pairs(task, teacher):
        return "The teacher has one token type (type_vocab_size 1), and pairs need two. Use another teacher."
    return None


def _other_shape(teacher: Model, student: Model) -> str | None:
    """Hidden states are compared layer by layer, number by number."""
    for what, names in (("hidden size", _WIDTHS), ("number of layers", _DEPTHS)):
        one, other = (_size(model.config, names) for model in (teacher, student))
        if one != other:
            return (
                f"The teacher's {what} is {one} and the model's {other}: with distillation.hidden they must be equal. "
                "Set distillation.hidden to 0, or use another teacher."
            )
    return None


def _size(config: JsonObject, names: Sequence[str]) -> object:
    assert isinstance(config, Mapping)
    return next((config[name] for name in names if config.get(name) is not None), None)
