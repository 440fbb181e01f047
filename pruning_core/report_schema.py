"""What `report.json` holds, as types; `python -m pruning_core.report_schema` prints their JSON Schema. No torch here.

The schema is published as docs/report.schema.json and by the service; `version` tells which one a report follows.
"""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pruning_core.spec import PruningSpec

REPORT_VERSION = 2

#: Null is a figure that is not finite, such as the loss of a model that overflows.
Figures = dict[str, float | None]
Point = tuple[int, float]


class _Part(BaseModel):
    """A part of the report: a report with more than it says is of another version."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Verdict(_Part):
    """What came of the run."""

    kind: Literal["no_measurable_loss", "loss", "gain", "too_small", "no_baseline", "useless"] = Field(
        description="`too_small`: the evaluation split is; `useless`: no better than guessing."
    )
    sentence: str = Field(description="The same for people, with its figures.")


class Interval(_Part):
    """A figure, and the 95 % confidence interval that the choice of evaluation rows leaves it."""

    value: float
    low: float | None = Field(description="Null where too few rows were judged to tell.")
    high: float | None


class Comparison(_Part):
    """The primary metric, dense and pruned, judged on the same rows."""

    metric: str
    rows: int
    pruned: Interval
    dense: Interval | None = Field(description="Null without a dense baseline.")
    difference: Interval | None = Field(description="Pruned minus dense, row by row; null without a baseline.")
    p_value: float | None = Field(description="McNemar's exact test, where rows are right or wrong.")
    methods: str = Field(description="How the intervals were computed.")


class Densities(_Part):
    """Kept shares, each of a different whole; quoting one without its name misleads."""

    prunable: float = Field(description="Of the matrices that pruning may touch: the paper's remaining weights.")
    encoder: float = Field(description="Of all parameters of the encoder, biases and LayerNorms included.")
    model: float = Field(description="Of all parameters of the model, embeddings and head included.")


class Data(_Part):
    """What the run learnt from and was judged on."""

    train_rows: int
    eval_rows: int
    train_items: int
    eval_items: int
    held_out: bool = Field(description="Whether the evaluation rows were taken from the training rows.")
    labels: list[str | int | bool]
    majority_share: float | None = Field(description="Accuracy of always guessing the most frequent class.")
    steps: int
    start_density: float = Field(description="Kept share before the first weight went; 1 but for start_from_mask.")


class Layer(_Part):
    """One pruned matrix."""

    name: str
    shape: tuple[int, ...]
    kept: int
    total: int
    density: float


class Timing(_Part):
    """One forward pass of a batch."""

    batch_size: int
    seconds: Figures = Field(description="Way → median seconds: `dense` and `pruned`.")


class Latency(_Part):
    """How long a forward pass takes, all ways measured in turn on the machine that trained."""

    device: str
    threads: int
    tokens: int
    batches: list[Timing]


class ExportTiming(_Part):
    """What one exported model takes for one batch."""

    runtime: Literal["pytorch", "onnxruntime"]
    model: Literal["dense", "structured", "int8"]
    batch: int
    median_ms: float
    speedup: float = Field(description="Over the dense model in the same runtime, median over the rounds.")


class ExportLatency(_Part):
    """How long what was made besides takes on a CPU, all in turn."""

    threads: int
    sequence: int = Field(description="Tokens of each row.")
    timings: list[ExportTiming]


class Histogram(_Part):
    """Counts of weights by their value and by what ranked them when masks were last selected."""

    weight: tuple[float, float] = Field(description="Ends of the first axis; what lies beyond is counted at the ends.")
    rank: tuple[float, float] = Field(description="Ends of the second axis.")
    kept: list[list[int]] = Field(description="[weight, rank], of the weights that stay.")
    removed: list[list[int]] = Field(description="The same of those that have gone, as training left them.")
    sampled: int = Field(description="How many weights were counted, evenly spaced over all.")


class Confusion(_Part):
    """Rows by their class and by the pruned model's answer."""

    labels: list[str] = Field(description="The most frequent classes, at most twenty.")
    counts: list[list[int]] = Field(description="[class, answer].")


class Example(_Part):
    """A row that the pruned model gets wrong."""

    row: int = Field(description="Counted from 1, in the evaluation split.")
    fields: dict[str, str] = Field(description="Column → what it holds, shortened.")
    said: str = Field(description="The pruned model's answer.")
    lost: bool = Field(description="Whether the dense model did better on it.")


class Report(_Part):
    """`report.json` of a pruning run."""

    model_config = ConfigDict(title=f"Secateur report, version {REPORT_VERSION}")

    version: Literal[2] = Field(description="Of this schema.")
    verdict: Verdict
    method: str
    target_sparsity: float
    primary_metric: str
    comparison: Comparison
    density: Densities
    eval: Figures = Field(description="The pruned model's figures, fp32.")
    dense_eval: Figures | None
    packed_eval: Figures = Field(description="Figures of what `model.packed` unpacks to.")
    exports: dict[str, dict[str, object]] = Field(
        description="What was made besides, by `structured`, `onnx`, `int8`: figures as `eval`, and what is left."
    )
    export_latency: ExportLatency | None = Field(description="Null where nothing was made besides.")
    data: Data
    layers: list[Layer]
    bytes: dict[str, int] = Field(description="Artifact → bytes; `dense` is the model directory, zeros stored.")
    latency: Latency | None = Field(description="Null where it was not measured.")
    seconds: Figures = Field(description="Phase → seconds.")
    curves: dict[str, list[Point]] = Field(description="Metric → [[step, value]], steps of its phase.")
    schedule: list[Point] = Field(description="[[step, kept share that the schedule asks for]].")
    histogram: Histogram | None
    confusion: Confusion | None = Field(description="For text classification.")
    errors: list[Example] = Field(description="At most ten, those first that the dense model got right.")
    notes: list[str] = Field(description="What a reader of the figures should know; warnings first.")
    spec: PruningSpec = Field(description="With every default written out.")
    job: dict[str, object] | None = Field(
        description="The same as the service's spec, to be submitted again; null for a run of the library."
    )
    lineage: dict[str, object] = Field(description="Where everything came from: checksums, versions, hardware.")


def json_schema() -> dict[str, object]:
    """The JSON Schema of `report.json` (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:secateur:report:{REPORT_VERSION}",
        **Report.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
