"""Makes of a submitted spec a whole one, with every default and everything inferred, or says all that is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from api.bodies import compact
from api.datasets.columns import Column, Value
from api.jobs.capacity import check_workers
from api.jobs.columns import Task, task_columns
from api.jobs.findings import Findings
from api.jobs.fit import check_steps, check_task, check_untrained, fitting_length
from api.jobs.inputs import find_inputs, find_teacher, find_webhook
from api.jobs.labels import HOLDOUT, check_rows, read_labels, training_rows
from api.jobs.matrices import check_matrices
from api.jobs.reading import read_spec
from api.jobs.shelf import Reading, Shelf
from api.jobs.spec import JobSpec, Splits
from api.jobs.splits import Chosen, choose_splits
from api.jobs.teacher import check_teacher
from api.jobs.zeros import check_zeros
from api.problems import Invalid
from api.sources.fetches import NOTHING, Fetched
from api.sources.uris import Kind
from pruning_core.advice import advice_for
from pruning_core.architectures import width
from store import BlobStore, Dataset, JsonObject, Model


@dataclass(frozen=True)
class Resolved:
    """A spec that can be run.

    Attributes:
        spec: as submitted, completed.
        document: as it is stored and echoed: the spec, and with it `labels`, `holdout` and `total_steps`; the last is
            an estimate for question answering, where long contexts give several items a row and only the worker
            tokenises.
        model: the uploaded model.
        dataset: the uploaded dataset.
        reported_steps: all steps that progress counts, the dense baseline's among them.
        warnings: advice.
        train_rows: rows that a run learns from.
        start_density: kept share that the schedule begins with, below 1 where the model's zeros stay.
    """

    spec: JobSpec
    document: JsonObject
    model: Model
    dataset: Dataset
    reported_steps: int
    warnings: list[str]
    train_rows: int
    start_density: float


@dataclass(frozen=True)
class _Asked:
    """What a spec says of its data.

    Attributes:
        splits: which; `eval` may be null, or left out.
        leaves_eval: whether it is left out.
        task: as the spec has it.
        named: the fields of the task that it names.
        task_type: the task, where the spec says no more of it.
    """

    splits: Splits
    leaves_eval: bool
    task: Task | None
    named: frozenset[str]
    task_type: str | None


@dataclass(frozen=True)
class _Columns:
    """A dataset, by which it is told from others, and its columns."""

    dataset: Dataset
    by_name: Mapping[str, Column] = field(compare=False)


@dataclass(frozen=True)
class _Data:
    """What a dataset turned out to be for a job; `train_rows` is None where none could be held out."""

    task: Task
    chosen: Chosen
    labels: list[Value]
    train_rows: int | None


def resolve(reading: Reading, team_id: str, document: JsonObject, shelf: Shelf, sources: Fetched = NOTHING) -> Resolved:
    """Check a spec whole and complete it; reads, and stores nothing.

    Args:
        reading: how to look for what it names that is not on the shelf.
        team_id: whose.
        document: the spec as submitted.
        shelf: where models and datasets are.
        sources: what it names that is not in the store by itself.

    Raises:
        Invalid: Something is wrong; as many problems as can be told at once are named.
        NotAtHand: It takes a look at the database, and `reading` may not.
    """
    read = read_spec(document)
    findings = Findings(read.errors)
    spec = read.spec
    if spec is None:
        raise _refusal(findings)
    model, dataset = find_inputs(reading, team_id, spec, sources, findings, shelf=shelf)
    teacher = find_teacher(reading, team_id, spec, sources, findings)
    find_webhook(reading, team_id, spec, findings)
    start_density = 1.0
    if model is not None:
        check_matrices(spec, model, findings)
        if spec.pruning.start_from_mask:
            reading()  # the weights, too
            start_density = check_zeros(spec, model, findings, blobs=shelf.blobs)
        length = fitting_length(spec, model, findings)
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": length})})
    data = None
    if dataset is not None:
        columns = _Columns(dataset, shelf.columns(reading, dataset))
        data = _look_at_data(spec, read.task_type, columns, (model, teacher), findings, blobs=shelf.blobs)
    if model is None or dataset is None or data is None or data.train_rows is None or findings.errors:
        raise _refusal(findings)
    steps = spec.total_steps(data.train_rows)
    findings.warnings += advice_for(spec, steps)
    check_workers(reading, spec, findings)
    whole = spec.resolved(data.train_rows, width(model.config)).model_copy(
        update={"task": data.task, "splits": Splits(train=data.chosen.train, eval=data.chosen.eval)}
    )
    whole = _pinned(whole, sources, teacher)
    answered = _document(whole, data, steps)
    for name, given in read.found_out.items():
        if given != answered[name]:
            shown = compact(answered[name])
            findings.wrong((name,), f"{name} follows from the rest of the spec, and is {shown}. Leave it out.")
    if findings.errors:
        raise _refusal(findings)
    return Resolved(
        whole,
        answered,
        model,
        dataset,
        steps * (1 + spec.training.dense_baseline),
        findings.warnings,
        data.train_rows,
        start_density,
    )


def _pinned(spec: JobSpec, sources: Fetched, teacher: Model | None) -> JobSpec:
    """The same, with what came from elsewhere named by its commit or sha256.

    A teacher is named by its id in the store, by which the worker and whoever deletes models know it.
    """
    named: dict[str, object] = {}
    for kind, uri in ((Kind.MODEL, spec.model), (Kind.DATASET, spec.dataset)):
        if stored := sources.stored.get((kind, uri)):
            named[kind] = stored.uri
    if spec.distillation is not None and teacher is not None:
        named["distillation"] = spec.distillation.model_copy(update={"teacher": f"upload://{teacher.id}"})
    return spec.model_copy(update=named)


def _refusal(findings: Findings) -> Invalid:
    return Invalid(findings.errors, what="The job")


def _look_at_data(
    spec: JobSpec,
    task_type: str | None,
    columns: _Columns,
    models: tuple[Model | None, Model | None],
    findings: Findings,
    *,
    blobs: BlobStore,
) -> _Data | None:
    """Columns, splits, labels and rows, and whether the models suit; None where one of them is not clear."""
    model, teacher = models
    named = frozenset() if spec.task is None else frozenset(spec.task.model_fields_set)
    asked = _Asked(spec.splits, "eval" not in spec.splits.model_fields_set, spec.task, named, task_type)
    data, found = _read_data(asked, columns, models, findings.sound("splits"), findings.sound("task"))
    findings.add(found)
    if data is None:
        return None
    if model is not None:
        check_untrained(spec, data.task, data.labels, model, findings)
        if teacher is not None:
            check_teacher(spec, data.task, data.labels, (teacher, model), findings, blobs=blobs)
    if data.train_rows is not None:
        check_steps(spec, data.train_rows, findings)
    return data


@lru_cache(maxsize=64)  # many jobs are about the same data
def _read_data(
    asked: _Asked, read: _Columns, models: tuple[Model | None, Model | None], splits_are_sound: bool, task_is: bool
) -> tuple[_Data | None, Findings]:
    """Columns, splits, labels and rows, and what was found on the way."""
    findings = Findings()
    columns, rows = read.by_name, {split.split: split.rows for split in read.dataset.splits}
    chosen = choose_splits(asked.splits, rows, findings) if splits_are_sound else None
    task = task_columns(asked.task, asked.task_type, columns, findings) if task_is else None
    if task is not None and models[0] is not None:
        check_task(task, models[0], findings)
    if chosen is None or task is None:
        return None, findings
    whole = check_rows(task, columns, chosen, findings)
    # The model's order of the labels goes before the teacher's: in it the model's own head stays of use.
    labels = read_labels(task, columns, chosen, [each.config for each in models if each is not None], findings)
    if labels is None or not whole:
        return None, findings
    return _Data(task, chosen, labels, training_rows(task, rows[chosen.train], columns, chosen, findings)), findings


def _document(spec: JobSpec, data: _Data, steps: int) -> JsonObject:
    document = cast(dict[str, object], spec.model_dump(mode="json"))
    document |= {
        "labels": data.labels,
        "holdout": HOLDOUT if data.chosen.eval is None else None,
        "total_steps": steps,
    }
    return cast(JsonObject, document)
