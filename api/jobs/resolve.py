"""Makes of a submitted spec a whole one, with every default and everything inferred, or says all that is wrong."""

from dataclasses import dataclass
from typing import cast

from api.datasets.columns import Column, Value
from api.jobs.advice import advise
from api.jobs.columns import task_columns
from api.jobs.findings import Findings
from api.jobs.fit import check_matrices, check_pairs, check_steps, fitting_length
from api.jobs.inputs import find_inputs
from api.jobs.labels import HOLDOUT, check_texts, read_labels, training_rows
from api.jobs.reading import read_spec
from api.jobs.spec import JobSpec, Splits
from api.jobs.splits import Chosen, choose_splits
from api.problems import Invalid
from pruning_core.spec import TextClassification
from store import Dataset, JsonObject, Model, ReadSession


@dataclass(frozen=True)
class Resolved:
    """A spec that can be run.

    Attributes:
        spec: as submitted, completed.
        document: as it is stored and echoed: the spec, and with it `labels`, `holdout` and `total_steps`.
        model: the uploaded model.
        dataset: the uploaded dataset.
        reported_steps: all steps that progress counts, the dense baseline's among them.
        warnings: advice.
    """

    spec: JobSpec
    document: JsonObject
    model: Model
    dataset: Dataset
    reported_steps: int
    warnings: list[str]


@dataclass(frozen=True)
class _Data:
    """What a dataset turned out to be for a job."""

    task: TextClassification
    chosen: Chosen
    labels: list[Value]
    train_rows: int


def resolve(session: ReadSession, team_id: str, document: JsonObject) -> Resolved:
    """Check a spec whole and complete it; reads, and stores nothing.

    Raises:
        Invalid: Something is wrong; as many problems as can be told at once are named.
    """
    reading = read_spec(document)
    findings = Findings(reading.errors)
    spec = reading.spec
    if spec is None:
        raise _refusal(findings)
    model, dataset = find_inputs(session, team_id, spec, findings)
    length = spec.training.max_length
    if model is not None:
        check_matrices(spec, model, findings)
        length = fitting_length(spec, model, findings)
    data = _look_at_data(spec, dataset, model, findings) if dataset is not None else None
    if model is None or dataset is None or data is None or findings.errors:
        raise _refusal(findings)
    steps = spec.total_steps(data.train_rows)
    advise(spec, steps, findings)
    complete = spec.resolved()
    whole = complete.model_copy(
        update={
            "task": data.task,
            "splits": Splits(train=data.chosen.train, eval=data.chosen.eval),
            "training": complete.training.model_copy(update={"max_length": length}),
        }
    )
    return Resolved(
        whole,
        _document(whole, data, steps),
        model,
        dataset,
        steps * (1 + spec.training.dense_baseline),
        findings.warnings,
    )


def _refusal(findings: Findings) -> Invalid:
    return Invalid(findings.errors, what="The job")


def _look_at_data(spec: JobSpec, dataset: Dataset, model: Model | None, findings: Findings) -> _Data | None:
    """Columns, splits, labels and rows; None where one of them is not clear."""
    columns = {column.name: column for column in map(Column.model_validate, dataset.columns)}
    rows = {split.split: split.rows for split in dataset.splits}
    chosen = choose_splits(spec.splits, rows, findings) if findings.sound("splits") else None
    task = task_columns(spec.task, columns, findings) if findings.sound("task") else None
    if chosen is None or task is None:
        return None
    check_texts(task, columns, chosen, findings)
    if model is not None:
        check_pairs(task, model, findings)
    labels = read_labels(task, columns[task.label], chosen, model.config if model else {}, findings)
    if labels is None:
        return None
    train_rows = training_rows(rows[chosen.train], columns[task.label], chosen, findings)
    if train_rows is None:
        return None
    check_steps(spec, train_rows, findings)
    return _Data(task, chosen, labels, train_rows)


def _document(spec: JobSpec, data: _Data, steps: int) -> JsonObject:
    document = cast(dict[str, object], spec.model_dump(mode="json"))
    document |= {
        "labels": data.labels,
        "holdout": HOLDOUT if data.chosen.eval is None else None,
        "total_steps": steps,
    }
    return cast(JsonObject, document)
