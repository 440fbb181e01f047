"""Carrying out one run of the quality bench, and the record it leaves."""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pydantic import ValidationError

from benchmarks.dense import fine_tune_dense
from benchmarks.quality_runs import COMPARED, Run
from benchmarks.tables import read_csv, read_squad
from pruning_core.loading import width_of
from pruning_core.run import prune
from pruning_core.spec import PruningSpec

Record = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a bench reads and writes.

    Attributes:
        model: the pretrained model.
        reviews: folder with `train.csv` and `validation.csv`.
        others: folder that holds `snli/` and `qamr/`, or None.
        results: folder of the results, committed.
        cache: folder of the dense models, not committed.
    """

    model: Path
    reviews: Path
    others: Path | None
    results: Path
    cache: Path

    def file(self, run: Run) -> Path:
        """Where a run's record lies."""
        return self.results / "quality" / ("tuning" if run.tuning else "runs") / f"{run.name}.json"

    def has_data(self, run: Run) -> bool:
        """Whether the run's data is there."""
        return run.data == "reviews" or self.others is not None


def read_record(run: Run, place: Place) -> Record | None:
    """The record of a run as it is now asked for; None where there is none, or one with other settings."""
    file = place.file(run)
    if not file.exists():
        return None
    record: Record = json.loads(file.read_text(encoding="utf-8"))
    resolved = run.spec().resolved(record["train_items"], width_of(place.model))  # defaults that have changed show here
    wanted = [resolved.model_dump(mode="json"), run.start, _trained_by(dense_of(run))]
    recorded = [_as_of_now(record["resolved"]), record.get("start"), _trained_by(_as_of_now(record.get("dense")))]
    return record if recorded == wanted else None


def _as_of_now(recorded: object) -> object:
    """A recorded spec with what specs have learnt to say since, as runs were before: by default, and never fitted."""
    if not isinstance(recorded, dict):
        return recorded
    pruning = {"reconstruct": False, **recorded["pruning"]}
    try:
        return PruningSpec.model_validate({**recorded, "pruning": pruning}).model_dump(mode="json")
    except ValidationError:
        return None


def _trained_by(spec: object) -> object:
    """Of a dense model's spec all that its weights depend on."""
    return {name: value for name, value in spec.items() if name != "pruning"} if isinstance(spec, dict) else spec


def dense_of(run: Run) -> object:
    """The settings of the dense model that a run learns from or starts with; None where there is none."""
    needed = run.method != "dense" and (run.distilled or run.start == "dense")
    return run.dense().spec().model_dump(mode="json") if needed else None


def carry_out(run: Run, place: Place) -> Record:
    """Train, judge, and write the record."""
    record = _dense(run, place) if run.method == "dense" else _pruned(run, place)
    write_record(place.file(run), record)
    return record


def dense_model(run: Run, place: Place) -> Path:
    """The directory of the dense model of a run's seed, trained where the cache has none of these settings."""
    dense = run.dense()
    directory = place.cache / dense.name
    made_of = directory / "spec.json"
    if not made_of.exists() or json.loads(made_of.read_text()) != dense.spec().model_dump(mode="json"):
        record = _dense(dense, place)
        if read_record(dense, place) is None:
            write_record(place.file(dense), record)
    return directory


def _dense(run: Run, place: Place) -> Record:
    """Fine-tune without pruning, and keep the model in the cache."""
    train, evaluation = tables(run, place)
    directory = place.cache / run.name
    done = fine_tune_dense(place.model, train, evaluation, run.spec(), directory)
    write_record(directory / "spec.json", run.spec().model_dump(mode="json"))
    return _record(run, done.train_items, done.metric, done.evaluation, done.seconds) | {
        "resolved": done.spec.model_dump(mode="json"),
        "lineage": done.lineage,
    }


def _pruned(run: Run, place: Place) -> Record:
    """Prune."""
    spec = run.spec()
    train, evaluation = tables(run, place)
    dense = dense_model(run, place) if dense_of(run) else None
    pictured = run.method in COMPARED and run.seed == 1 and run.data == "reviews" and not (run.distilled or run.tuning)
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        result = prune(
            dense if dense and run.start == "dense" else place.model,
            train,
            spec,
            Path(scratch) / "out",
            evaluation=evaluation,
            teacher=dense if run.distilled else None,
            illustrated=False,
        )
        seconds = time.monotonic() - started
    data = result.report["data"]
    assert isinstance(data, dict)
    metric = str(result.report["primary_metric"])
    return _record(run, data["train_items"], metric, result.evaluation, seconds) | {
        "dense_eval": result.dense_evaluation,
        "resolved": result.report["spec"],
        "densities": asdict(result.density),
        "layers": [{"name": row.name, "kept": row.kept, "total": row.total} for row in result.layers],
        "histogram": result.report["histogram"] if pictured else None,
        "lineage": result.report["lineage"],
    }


def _record(run: Run, items: int, metric: str, found: dict[str, float], seconds: float) -> Record:
    return {
        "name": run.name,
        "method": run.method,
        "density": run.density,
        "seed": run.seed,
        "distillation": run.distilled,
        "data": run.data,
        "tuning": dict(run.tuning),
        "metric": metric,
        "eval": found,
        "wall_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "train_items": items,
        "spec": run.spec().model_dump(mode="json"),
        "start": run.start,
        "dense": dense_of(run),
    }


def write_record(file: Path, record: Record) -> None:
    """On one line, for the pictures' numbers would fill thousands; through a temporary name, so that it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    partial.replace(file)


def tables(run: Run, place: Place) -> tuple[pa.Table, pa.Table]:
    """The rows to train on, and those to judge on."""
    if run.data == "qamr":
        assert place.others is not None
        return read_squad(place.others / "qamr" / "train.json"), read_squad(place.others / "qamr" / "validation.json")
    folder = place.reviews
    if run.data != "reviews":
        assert place.others is not None
        folder = place.others / run.data
    return read_csv(folder / "train.csv"), read_csv(folder / "validation.csv")
