"""What a finished run leaves: the model, its packed form, the masks, and the report that is honest about them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedModel

from pruning_core.errors_shown import confused, worst_rows
from pruning_core.evaluation import judge
from pruning_core.export import export_masks, export_model
from pruning_core.exports import Exports, clear, make_exports
from pruning_core.latency import timings
from pruning_core.packed import load_packed, save_packed
from pruning_core.pruner import Pruner
from pruning_core.report import (
    Densities,
    Layer,
    build_report,
    densities,
    layers,
    lineage,
    notes_on,
    notes_on_the_comparison,
)
from pruning_core.report_schema import Latency
from pruning_core.standing import standing

if TYPE_CHECKING:
    from pruning_core.run import Run

log = logging.getLogger(__name__)

_PAGE, _REPORT = "report.html", "report.json"


@dataclass(frozen=True)
class PruningResult:
    """What a run achieved; the files lie in the output directory.

    Attributes:
        evaluation: quality of the exported model on the evaluation rows, fp32.
        dense_evaluation: quality of the dense model of the same spec, or None without a baseline.
        packed_evaluation: quality of the model that `model.packed` unpacks to.
        density: the three densities.
        layers: the per-layer table.
        exports: what `spec.export` asked for besides, judged and timed.
        report: the content of `report.json`.
    """

    evaluation: dict[str, float]
    dense_evaluation: dict[str, float] | None
    packed_evaluation: dict[str, float]
    density: Densities
    layers: list[Layer] = field(repr=False)
    exports: Exports
    report: dict[str, object] = field(repr=False)


def deliver(
    run: Run,
    pruner: Pruner,
    network: PreTrainedModel,
    output: Path,
    *,
    illustrated: bool,
    job: Mapping[str, object] | None,
    lineage_extra: Mapping[str, object] | None,
) -> PruningResult:
    """Write everything, and judge what was written.

    Args:
        run: all its phases done.
        pruner: with the masks.
        network: the pruned model, settled.
        output: directory, created; what an earlier run left there is replaced.
        illustrated: also time the model and draw the report.
        job: the service's spec.
        lineage_extra: more lines for the lineage.

    Raises:
        ExportMismatch: the exported model is not the trained one.
    """
    output.mkdir(parents=True, exist_ok=True)
    clear(output)
    (output / _REPORT).unlink(missing_ok=True)  # written last: where it is, all is there, and of one run
    with suppress(OSError):  # as what is drawn later
        (output / _PAGE).unlink()
    reloaded = export_model(network, run.tokenizer, pruner.weights, output / "model")
    export_masks(pruner.weights, output / "masks.safetensors")
    export = run.spec.export
    save_packed(output / "model", output / "model.packed", precision=export.packed, unpruned=export.packed_unpruned)
    evaluation, quality = judge(reloaded, run.tokenizer, run.task, run.evaluation, tick=run.tick)
    packed_evaluation = evaluation
    if not export.exact:
        unpacked = load_packed(output / "model.packed")
        unpacked.to(run.device)  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
        packed_evaluation = judge(unpacked, run.tokenizer, run.task, run.evaluation, tick=run.tick)[0]
    density, table = densities(network, pruner.weights), layers(pruner.weights)
    useless = run.task.useless(evaluation[run.task.primary_metric], run.evaluation)
    stands = standing(run.task, quality.by_row(), run.position.dense_rows, density=density.prunable, useless=useless)
    # Timed first, while the model is where it was trained; then what is made of it may move it.
    untold: list[str] = []
    latency = _timed(run, reloaded, untold) if illustrated else None
    exports = make_exports(
        reloaded, run.tokenizer, run.task, run.evaluation, export=export, output=output, tick=run.tick
    )
    majority_share = run.task.majority_share(run.evaluation)
    notes = notes_on_the_comparison(
        run.spec,
        stands,
        steps=run.steps,
        start_density=pruner.schedule.start_density,
        majority_share=majority_share,
    )
    notes += notes_on(
        run.spec, run.task.primary_metric, evaluation, packed_evaluation, exports=exports, useless=useless
    )
    notes += untold
    report = build_report(
        spec=run.spec,
        standing=stands,
        density=density,
        table=table,
        evaluation=evaluation,
        dense_evaluation=run.position.dense_evaluation,
        packed_evaluation=packed_evaluation,
        data={
            "train_rows": run.rows[0],
            "eval_rows": run.rows[1],
            "train_items": len(run.train),
            "eval_items": len(run.evaluation),
            "held_out": run.holds_out,
            "labels": run.task.labels,
            "majority_share": majority_share,
            "steps": run.steps,
            "start_density": pruner.schedule.start_density,
        },
        exports=exports,
        sizes=_sizes(output) | exports.bytes,
        latency=latency,
        seconds=run.position.seconds,
        curves=run.position.curves,
        schedule=pruner.schedule,
        histogram=run.histogram,
        confusion=confused(quality, run.task),
        errors=worst_rows(quality, run.task, run.judged, run.position.dense_rows),
        notes=notes,
        job=job,
        provenance=lineage(run.model_dir, run.teacher_dir, run.asked, run.ranks, run.bf16) | dict(lineage_extra or {}),
    )
    if illustrated:
        _draw(report, output / _PAGE, notes)
        report["notes"] = notes
    (output / _REPORT).write_text(_lines(report), encoding="utf-8")
    return PruningResult(evaluation, run.position.dense_evaluation, packed_evaluation, density, table, exports, report)


def _timed(run: Run, pruned: PreTrainedModel, notes: list[str]) -> dict[str, object] | None:
    """Time the pruned model beside the given one, whose zeros are its own; a job does not fail for want of it."""
    try:
        dense = run.load()
        dense.train(mode=False)
        tokens = int(np.median(run.evaluation.lengths))
        tokens = min(run.spec.training.max_length, -(-tokens // 8) * 8)
        latency = timings({"dense": dense, "pruned": pruned}, tokens)
    except Exception as error:
        log.warning("The model could not be timed.", exc_info=True)
        notes.append(f"The latency could not be measured: {error}"[:500])
        return None
    return Latency.model_validate(latency).model_dump(mode="json")


def _draw(report: dict[str, object], file: Path, notes: list[str]) -> None:
    """Draw the report; a job does not fail for want of pictures."""
    try:
        from pruning_core.page import write_page

        write_page(report, file)
    except Exception as error:
        log.warning("report.html could not be drawn.", exc_info=True)
        notes.append(f"report.html could not be drawn: {error}"[:500])
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _sizes(output: Path) -> dict[str, int]:
    """Bytes of the deliverables."""
    dense = sum(path.stat().st_size for path in (output / "model").rglob("*") if path.is_file())
    files = {"masks": "masks.safetensors", "packed": "model.packed"}
    return {"dense": dense} | {kind: (output / name).stat().st_size for kind, name in files.items()}


def _lines(report: Mapping[str, object]) -> str:
    """JSON with a line for each field: indented, the curves alone would take thousands."""
    fields = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in report.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"
