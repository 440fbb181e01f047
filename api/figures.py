"""What a finished job is judged by, read from its result."""

from collections.abc import Mapping
from dataclasses import dataclass

from store import Job, JsonObject, JsonValue

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Figures:
    """The numbers of a result; empty where it has none.

    Attributes:
        primary_metric: the name of the metric that the task is judged by; more is better.
        evaluation: metrics of the pruned model.
        dense: metrics of the unpruned one.
        density: kept shares: `prunable`, `encoder`, `model`.
        sizes: bytes, by what is so large.
    """

    primary_metric: str | None
    evaluation: Numbers
    dense: Numbers
    density: Numbers
    sizes: Numbers

    @property
    def quality(self) -> float | None:
        """The primary metric of the pruned model."""
        return self.evaluation.get(self.primary_metric or "")

    @property
    def relative(self) -> float | None:
        """Its share of the dense model's; None where that is unknown or not positive."""
        dense = self.dense.get(self.primary_metric or "")
        return self.quality / dense if self.quality is not None and dense is not None and dense > 0 else None


def figures_of(job: Job) -> Figures:
    """The figures of a job."""
    result: JsonObject = job.result or {}
    name = result.get("primary_metric")
    return Figures(
        name if isinstance(name, str) else None,
        _numbers(result.get("eval")),
        _numbers(result.get("dense_eval")),
        _numbers(result.get("density")),
        _numbers(result.get("bytes")),
    )


def _numbers(value: JsonValue) -> Numbers:
    found = value.items() if isinstance(value, Mapping) else ()
    return {name: each for name, each in found if isinstance(each, int | float)}
