"""Chooses the splits to train and to evaluate on."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.jobs.findings import Findings
from api.jobs.spec import Splits

#: What people call the split to evaluate on, best first.
_EVALUATION_NAMES = ("validation", "valid", "val", "dev", "eval", "evaluation", "test")


@dataclass(frozen=True)
class Chosen:
    """The splits of a job; without `eval`, rows of `train` are held out."""

    train: str
    eval: str | None


def choose_splits(wanted: Splits, rows: Mapping[str, int], findings: Findings) -> Chosen | None:
    """Choose splits; None, and a note, where the spec names one that is not there or leaves it open.

    Args:
        wanted: what the spec says.
        rows: the dataset's splits and their rows.
        findings: where problems go.
    """
    there = ", ".join(rows)
    unknown = False
    for field, name in (("train", wanted.train), ("eval", wanted.eval)):
        if name is not None and name not in rows:
            findings.wrong(("splits", field), f"The dataset has no split {name!r}. It has: {there}.")
            unknown = True
    if unknown:
        return None
    train = wanted.train or ("train" if "train" in rows else next(iter(rows)) if len(rows) == 1 else None)
    if train is None:
        findings.wrong(("splits", "train"), f"Say which split to train on: splits.train is one of {there}.")
        return None
    if wanted.eval == train:
        findings.wrong(
            ("splits", "eval"), "splits.eval is the training split. Name another one, or null to hold out rows of it."
        )
        return None
    if "eval" in wanted.model_fields_set:
        return Chosen(train, wanted.eval)
    evaluation = next((name for name in _EVALUATION_NAMES if name in rows and name != train), None)
    if evaluation is None and len(rows) > 1:
        unused = ", ".join(name for name in rows if name != train)
        findings.advise(
            f"None of the other splits ({unused}) is called like one to evaluate on, so rows of {train!r} are held "
            "out for that. Name one in splits.eval to use it."
        )
    return Chosen(train, evaluation)
