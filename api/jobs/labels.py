"""Checks the rows of a job by what is known of its columns: texts, labels, numbers, and rows to hold out."""

from collections import Counter
from collections.abc import Mapping, Sequence

from api.datasets.columns import MAX_VALUES, Column, Value
from api.datasets.labels import values_over
from api.jobs.columns import Task
from api.jobs.findings import Findings
from api.jobs.splits import Chosen
from pruning_core.columns import LARGEST_NUMBER, QuestionAnswering, Regression, TextClassification, TokenClassification
from pruning_core.labels import matched, names_in
from store import JsonObject

#: Share of the training rows held out where there is no split to evaluate on; of each label in proportion.
HOLDOUT = 0.1


def check_rows(task: Task, columns: Mapping[str, Column], chosen: Chosen, findings: Findings) -> bool:
    """Note rows that lack something the task needs."""
    whole = [_require_complete(field, columns[name], chosen, findings) for field, name in task.names().items()]
    if isinstance(task, Regression):
        whole.append(_require_various(columns[task.label], chosen, findings))
        whole.append(_require_moderate(columns[task.label], chosen, findings))
    if isinstance(task, TokenClassification):
        why = "have different numbers of values. Each word needs one tag"
        whole.append(_require_alike(columns[task.tags], task.tokens, chosen, findings, field="tags", why=why))
    if isinstance(task, QuestionAnswering):
        why = "do not agree: no answer of that row is in its context"
        whole.append(_require_alike(columns[task.answers], task.context, chosen, findings, field="context", why=why))
    return all(whole)


def read_labels(
    task: Task, columns: Mapping[str, Column], chosen: Chosen, known: Sequence[JsonObject], findings: Findings
) -> list[Value] | None:
    """The labels or tags in the order of their ids; None, and a note, where there are not two or more clean ones.

    Args:
        task: what to read; tasks without labels have an empty list.
        columns: the dataset's.
        chosen: the splits.
        known: configurations of the job's models, of which the first that knows exactly these labels gives their
            order; else they are sorted.
        findings: where problems go.
    """
    if isinstance(task, TextClassification):
        field, column = "label", columns[task.label]
    elif isinstance(task, TokenClassification):
        field, column = "tags", columns[task.tags]
    else:
        return []
    train = values_over(column, [chosen.train])
    evaluated = values_over(column, [chosen.eval]) if chosen.eval else Counter()
    if train is None or evaluated is None:
        findings.wrong(
            ("task", field),
            f"Column {column.name!r} has more than {MAX_VALUES:,} different values, or very long ones: these are no "
            f"{field.removesuffix('s')}s. Name the column with the {field.removesuffix('s')}s in task.{field}.",
        )
        return None
    if len(train) < 2:
        only = f"only {next(iter(train))!r}" if train else "no value at all"
        findings.wrong(
            ("task", field),
            f"Column {column.name!r} has {only} in split {chosen.train!r}. Two classes are the least to tell apart.",
        )
        return None
    if unseen := sorted(set(evaluated) - set(train)):
        named = f"{', '.join(map(repr, unseen[:5]))}{' …' if len(unseen) > 5 else ''}"
        if field == "tags":  # a rare tag may well be in a few rows only
            findings.advise(f"Split {chosen.eval!r} has tags that split {chosen.train!r} has not: {named}.")
            return ordered(train + evaluated, known)
        findings.wrong(
            ("splits", "eval"),
            f"Split {chosen.eval!r} has labels that split {chosen.train!r} has not: {named}. Add rows with them to "
            f"{chosen.train!r}, or take them out.",
        )
        return None
    return ordered(train, known)


def _require_complete(field: str, column: Column, chosen: Chosen, findings: Findings) -> bool:
    for split in filter(None, (chosen.train, chosen.eval)):
        content = column.splits[split]
        if content.nulls:
            more = f" and {content.nulls - 1:,} more rows" if content.nulls > 1 else ""
            lacks = {
                "answers": "has no answer",
                "float64": "has no finite number",
            }.get(column.type, "is empty")
            remedy = "Fill it, or remove the rows."
            if column.type == "answers":
                remedy = "Questions without an answer, as in SQuAD 2.0, are not supported: remove the rows."
            findings.wrong(
                ("task", field),
                f"Column {column.name!r} {lacks} in split {split!r}, row {content.first_null_row}{more}. {remedy}",
            )
            return False
    return True


def _require_various(column: Column, chosen: Chosen, findings: Findings) -> bool:
    for split in filter(None, (chosen.train, chosen.eval)):
        if column.splits[split].distinct < 2:
            findings.wrong(
                ("task", "label"),
                f"Column {column.name!r} has the same number in every row of split {split!r}: there is nothing to "
                "predict.",
            )
            return False
    return True


def _require_alike(column: Column, other: str, chosen: Chosen, findings: Findings, *, field: str, why: str) -> bool:
    for split in filter(None, (chosen.train, chosen.eval)):
        if row := column.splits[split].unlike.get(other):
            findings.wrong(
                ("task", field),
                f"In split {split!r}, row {row}, columns {other!r} and {column.name!r} {why}. Correct the row or "
                f"remove it, or name another column in task.{field}.",
            )
            return False
    return True


def _require_moderate(column: Column, chosen: Chosen, findings: Findings) -> bool:
    for split in filter(None, (chosen.train, chosen.eval)):
        largest = column.splits[split].largest
        if largest is not None and largest > LARGEST_NUMBER:
            findings.wrong(
                ("task", "label"),
                f"Column {column.name!r} holds {largest:g} in split {split!r}, and the squared error of numbers beyond "
                f"{LARGEST_NUMBER:g} is too large for fp32. Divide them all, best to a range of a few units.",
            )
            return False
    return True


def ordered(labels: Counter[Value], known: Sequence[JsonObject]) -> list[Value]:
    """Labels as the first model that knows them numbers them; sorted, where none does."""
    for config in known:
        if order := matched(names_in(config), labels):
            return order
    return sorted(labels)


def held_out_rows(rows: Sequence[int]) -> int:
    """How many rows are held out, of labels with so many rows: a tenth, and of each its own tenth rounded up or down.

    Never are all rows of a label held out.
    """
    quotas = [round(HOLDOUT * count, 9) for count in rows]
    down = sum(map(int, quotas))
    able = sum(int(quota) < min(quota, count - 1) for quota, count in zip(quotas, rows, strict=True))
    return down + min(able, max(0, round(HOLDOUT * sum(rows)) - down))


def training_rows(
    task: Task, rows: int, columns: Mapping[str, Column], chosen: Chosen, findings: Findings
) -> int | None:
    """Rows left to train on after holding out; None, and a note, where none can be held out.

    For question answering, whose rows are held out by context, it is an estimate.
    """
    if chosen.eval is not None:
        return rows
    reason = f"{chosen.train!r} has not the 6 rows of which one could be held out"
    if isinstance(task, TextClassification):
        values = values_over(columns[task.label], [chosen.train])
        held = held_out_rows(list(values.values())) if values else 0
        if values and sum(values.values()) >= 6:
            reason = f"no label has the 2 rows in {chosen.train!r} of which one could be held out"
    elif isinstance(task, QuestionAnswering):
        several = columns[task.context].splits[chosen.train].distinct > 1
        held = max(1, held_out_rows([rows])) if several else 0
        reason = f"all rows of {chosen.train!r} have the same context"
    else:
        held = held_out_rows([rows])
    if held == 0:
        findings.wrong(
            ("splits", "eval"),
            f"There is no split to evaluate on, and {reason}. Upload a validation split, or more rows.",
        )
        return None
    return rows - held
