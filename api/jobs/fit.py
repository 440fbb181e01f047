"""Checks that a spec fits the model and the number of rows: task, positions, steps."""

from collections.abc import Sequence

from api.datasets.columns import Value
from api.jobs.columns import Task
from api.jobs.findings import Findings
from api.jobs.heads import has_head, other_labels
from api.jobs.spec import JobSpec
from api.models.shapes import shapes_of
from pruning_core.architectures import max_tokens, tasks_of, too_long
from pruning_core.columns import QuestionAnswering, TokenClassification
from pruning_core.schedule import ScheduleError
from pruning_core.spec import MOST_STEPS
from store import Model

#: Families whose own tokenizers give the second text of a pair another token type.
_TYPED = frozenset({"bert", "electra", "albert"})


def fitting_length(spec: JobSpec, model: Model, findings: Findings) -> int:
    """Tokens per example; lowered to what the model has positions for, unless the spec names more."""
    wanted = spec.training.max_length
    most = max_tokens(model.config)
    if most is None or wanted <= most:
        return wanted
    if "max_length" in spec.training.model_fields_set:
        findings.wrong(("training", "max_length"), too_long(wanted, most))
    else:
        findings.advise(f"The model has positions for {most} tokens, so training.max_length is {most}, not {wanted}.")
    return most


def check_task(task: Task, model: Model, findings: Findings) -> None:
    """Note a task that the model's family has no head for, and pairs that the model could not tell apart."""
    able = tasks_of(model.model_type, shapes_of(model))
    if task.type not in able:
        findings.wrong(
            ("task", "type"),
            f"This model of family {model.model_type!r} cannot be used for {task.type}. It can be used for: "
            f"{', '.join(sorted(able)) or 'none of the tasks here'}.",
        )
    elif cannot_tell_pairs(task, model):
        question = isinstance(task, QuestionAnswering)
        findings.wrong(
            ("model",) if question else ("task", "text_pair"),
            f"The model has one token type (type_vocab_size 1), and pairs need two: {model.model_type!r} marks the "
            f"second text with it. {'Use' if question else 'Leave out task.text_pair, or use'} another model.",
        )


def cannot_tell_pairs(task: Task, model: Model) -> bool:
    """Whether the task has pairs of texts, and the model's embeddings cannot tell the second from the first."""
    pairs = not isinstance(task, TokenClassification) and (isinstance(task, QuestionAnswering) or task.text_pair)
    return bool(pairs) and model.model_type in _TYPED and model.config.get("type_vocab_size", 2) == 1


def check_untrained(spec: JobSpec, task: Task, labels: Sequence[Value], model: Model, findings: Findings) -> None:
    """Note a model without a head for the task and its labels where nothing trains one."""
    if spec.trains:
        return
    if not has_head(model, task, labels):
        findings.wrong(
            ("model",),
            f"The job trains nothing, and the model has no {task.type} head for this dataset: a new one would answer "
            "at random. Use a model that was fine-tuned for it, or train (training.epochs).",
        )
    elif reason := other_labels(model, labels, "model", findings):
        findings.wrong(
            ("model",),
            f"The job trains nothing, and {reason}. Where they mean the same, name them alike (id2label in its "
            "config.json); else train (training.epochs).",
        )


def check_steps(spec: JobSpec, train_rows: int, findings: Findings) -> None:
    """Note a run too short to prune in or too long to be counted, or with too few rows for one batch."""
    if not spec.trains:
        return
    if train_rows < spec.training.batch_size and findings.sound("training"):
        findings.wrong(
            ("training", "batch_size"),
            f"There are {train_rows} rows to train on, fewer than one batch of {spec.training.batch_size}. Lower "
            "training.batch_size, or upload more rows.",
        )
        return
    if not findings.sound("training", "pruning"):
        return
    if (steps := spec.total_steps(train_rows)) > MOST_STEPS:
        findings.wrong(
            ("training", "epochs"),
            f"{spec.epochs:g} passes over {train_rows} rows in steps of {spec.training.batch_size} × "
            f"{spec.training.gradient_accumulation} are {steps} steps, and at most {MOST_STEPS} are possible. Take "
            "fewer epochs or larger batches.",
        )
        return
    try:
        spec.schedule(train_rows)
    except ScheduleError as error:
        findings.wrong(("pruning", "schedule"), str(error))
