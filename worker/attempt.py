"""One attempt, in the training process: fetches inputs, fine-prunes, publishes."""

import json
import logging
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from transformers.utils import logging as transformers_logging

from pruning_core import CheckpointError, Checkpointing, ModelError, PruningResult, PruningSpec, prune
from pruning_core.export import ExportMismatch
from pruning_core.prunable import NothingToPrune
from pruning_core.schedule import ScheduleError
from pruning_core.tasks.base import DataError
from pruning_core.training import Diverged
from store import (
    DATABASE_AWAY,
    BlobCorrupt,
    Claim,
    Database,
    Fence,
    FenceLost,
    JobError,
    Settings,
    finish_failed,
    open_database,
)
from worker.inputs import fetch_inputs
from worker.process import PULSE, TrainerExit
from worker.publication import publish
from worker.pulse import Pulse
from worker.reporter import Reporter, Stopped
from worker.saver import Saved, Saver

log = logging.getLogger(__name__)

#: Errors that trying again would only repeat, by the code the job shows.
_FINAL_ERRORS: dict[type[Exception], str] = {
    ValidationError: "spec_invalid",
    BlobCorrupt: "input_damaged",
    ModelError: "model_error",
    DataError: "data_error",
    ScheduleError: "schedule_error",
    NothingToPrune: "nothing_to_prune",
    Diverged: "diverged",
    ExportMismatch: "export_mismatch",
}
_RETRY_S = 1.0

T = TypeVar("T")


def carry_out(assignment: Path) -> TrainerExit:
    """Carry out one attempt.

    Args:
        assignment: JSON file with the claim; its folder is the attempt's scratch.

    Returns:
        How it ended, for the supervisor.
    """
    claim = _read_claim(assignment)
    settings = Settings()
    database = open_database(settings.database_url)
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        _train_and_publish(database, claim, assignment.parent, settings)
    except Stopped:
        return TrainerExit.STOPPED
    except FenceLost:
        return TrainerExit.FENCED
    except tuple(_FINAL_ERRORS) as error:
        traceback.print_exc()
        code = next(code for kind, code in _FINAL_ERRORS.items() if isinstance(error, kind))
        failure = JobError(code, str(error))
        try:
            _patiently(lambda: _fail(database, claim.fence, failure))
        except FenceLost:
            return TrainerExit.FENCED
    return TrainerExit.RECORDED


def _train_and_publish(database: Database, claim: Claim, scratch: Path, settings: Settings) -> None:
    fence = claim.fence
    spec = PruningSpec.model_validate({name: claim.spec[name] for name in PruningSpec.model_fields})
    inputs = fetch_inputs(database, claim, scratch)
    reporter = Reporter(database, fence, Pulse(scratch / PULSE))
    saver = Saver(database, fence, settings, reporter)
    reporter.beat()
    # Only from here on: until there is work to lose, a signal may end this process on the spot.
    signal.signal(signal.SIGTERM, lambda signum, frame: saver.request_stop())
    signal.signal(signal.SIGINT, lambda signum, frame: reporter.request_stop())

    def go_on_from(resume_from: Path | None) -> PruningResult:
        return prune(
            inputs.model_dir,
            inputs.train,
            spec,
            scratch / "output",
            evaluation=inputs.evaluation,
            labels=inputs.labels,
            teacher=inputs.teacher,
            on_progress=reporter,
            checkpointing=Checkpointing(scratch / "checkpoint.safetensors", saver.due, saver.written),
            resume_from=resume_from,
            lineage_extra=inputs.lineage,
        )

    result = _with_the_newest(Saved(database, fence, scratch), go_on_from)
    _patiently(reporter.flush)
    _patiently(lambda: publish(database, fence, result, scratch / "output"))


def _with_the_newest(saved: Saved, go_on_from: Callable[[Path | None], PruningResult]) -> PruningResult:
    """Go on from the newest checkpoint that can be used, or begin anew."""
    for checkpoint, file in saved:
        try:
            return go_on_from(file)
        except CheckpointError as error:
            saved.discard(checkpoint, str(error))
    return go_on_from(None)


def _fail(database: Database, fence: Fence, error: JobError) -> None:
    with database.write() as session:
        finish_failed(session, fence, error)


def _patiently(write: Callable[[], T]) -> T:
    """Write what a whole run has led to; a database that is away must not waste it, however long that takes."""
    while True:
        try:
            return write()
        except DATABASE_AWAY:
            log.warning("The database is away; the result is kept for the next try.")
            time.sleep(_RETRY_S)


def _read_claim(path: Path) -> Claim:
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Claim(**{**fields, "fence": Fence(**fields["fence"])})
