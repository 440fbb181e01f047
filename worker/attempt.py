"""One attempt, in the training process: fetches inputs, fine-prunes, publishes."""

import json
import logging
import math
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from transformers.utils import logging as transformers_logging

from pruning_core import (
    CheckpointError,
    Checkpointing,
    ModelError,
    PeerLost,
    Progress,
    PruningResult,
    PruningSpec,
    prune,
)
from pruning_core.export import ExportMismatch
from pruning_core.memory import is_out_of_memory
from pruning_core.prunable import NothingToPrune
from pruning_core.schedule import ScheduleError
from pruning_core.settings import Training
from pruning_core.tasks.base import DataError
from pruning_core.training import Diverged, OnProgress
from store import (
    DATABASE_AWAY,
    BlobCorrupt,
    Claim,
    Database,
    Fence,
    FenceLost,
    JobError,
    NotFound,
    Settings,
    finish_failed,
    release_starved,
)
from worker.announced import AnnouncedDatabase
from worker.inputs import fetch_inputs
from worker.memory import advice, largest_that_fits
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
    NotFound: "input_gone",
    ModelError: "model_error",
    DataError: "data_error",
    ScheduleError: "schedule_error",
    NothingToPrune: "nothing_to_prune",
    Diverged: "diverged",
    ExportMismatch: "export_mismatch",
}
_RETRY_S = 1.0
#: What the service adds to a spec of its own; the rest can be submitted again.
_FOUND_OUT = frozenset({"labels", "holdout", "total_steps"})

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
    pulse = Pulse(assignment.parent / PULSE)
    pulse.beat = time.monotonic()  # all is there that a trainer needs
    database = AnnouncedDatabase(settings.database_url, pulse)
    transformers_logging.set_verbosity(logging.ERROR)
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s")
    logging.getLogger("worker").setLevel(logging.INFO)
    try:
        _train_and_publish(database, claim, assignment.parent, settings, pulse)
    except Stopped:
        return TrainerExit.STOPPED
    except FenceLost:
        return TrainerExit.FENCED
    except PeerLost as error:
        log.exception("One of the job's devices is lost.")
        if error.signal == signal.SIGKILL:
            # We end as it did: whether it was killed for want of memory, the supervisor finds out as of ourselves.
            signal.raise_signal(error.signal)
        raise
    except tuple(_FINAL_ERRORS) as error:
        log.exception("The job cannot be done.")
        code = next(code for kind, code in _FINAL_ERRORS.items() if isinstance(error, kind))
        failure = JobError(code, str(error))
        try:
            _patiently(lambda: _fail(database, claim.fence, failure))
        except FenceLost:
            return TrainerExit.FENCED
    return TrainerExit.RECORDED


def _train_and_publish(database: Database, claim: Claim, scratch: Path, settings: Settings, pulse: Pulse) -> None:
    fence = claim.fence
    spec = PruningSpec.model_validate(
        {name: claim.spec[name] for name in PruningSpec.model_fields if name in claim.spec}
    )
    log.info("Attempt %d at %s.", fence.attempt, fence.job_id)
    inputs = fetch_inputs(database, claim, scratch)
    reporter = Reporter(database, fence, pulse)
    saver = Saver(database, fence, settings, reporter)
    reporter.beat()
    # Only from here on: until there is work to lose, a signal may end this process on the spot.
    signal.signal(signal.SIGTERM, lambda signum, frame: saver.request_stop())
    signal.signal(signal.SIGUSR1, lambda signum, frame: reporter.request_stop())

    def run(spec: PruningSpec, on_progress: OnProgress, **more: Any) -> PruningResult:
        return prune(
            inputs.model_dir,
            inputs.train,
            spec,
            scratch / "output",
            evaluation=inputs.evaluation,
            labels=inputs.labels,
            teacher=inputs.teacher,
            on_progress=on_progress,
            tick=reporter.tick,
            job={name: value for name, value in claim.spec.items() if name not in _FOUND_OUT},
            lineage_extra=inputs.lineage,
            **more,
        )

    def go_on_from(resume_from: Path | None) -> PruningResult:
        checkpointing = Checkpointing(scratch / "checkpoint.safetensors", saver.due, saver.written, saver.failed)
        return run(spec, reporter, checkpointing=checkpointing, resume_from=resume_from)

    try:
        result = _with_the_newest(Saved(database, fence, scratch), go_on_from)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.exception("The memory did not suffice.")
        traceback.clear_frames(error.__traceback__)  # what did not fit is kept alive by the frames that held it
        failure = _out_of_memory(spec.training, lambda training: run(_probe(spec, training), _one_step))
        _patiently(lambda: _starve(database, fence, failure))
        return
    log.info("Done: %s", _figures(result.evaluation))
    _patiently(reporter.flush)
    _patiently(lambda: publish(database, fence, result, scratch / "output"))
    log.info("The files are published.")


class _Fits(Exception):
    """A step was made: that is all a probe wants to know."""


def _one_step(progress: Progress) -> None:
    raise _Fits


def _probe(spec: PruningSpec, training: Training) -> PruningSpec:
    """The same job without what a single step does not need."""
    without = {"training": training.model_copy(update={"dense_baseline": False}), "distillation": None}
    return spec.model_copy(update=without)


def _out_of_memory(training: Training, step_with: Callable[[Training], object]) -> JobError:
    """What to tell of a run that did not fit; where the batch is not ours to halve, with the batch that would fit."""

    def try_one_step(batch_size: int) -> None:
        with suppress(_Fits):
            # On one device, with what each of several would have.
            own = math.ceil(batch_size / training.gpus)
            step_with(training.model_copy(update={"batch_size": own, "gradient_accumulation": 1, "gpus": 1}))

    fits = None if training.auto_batch else largest_that_fits(training.batch_size, try_one_step, training.gpus)
    return JobError("out_of_memory", advice(training, fits))


def _starve(database: Database, fence: Fence, error: JobError) -> None:
    with database.write() as session:
        release_starved(session, fence, error, final=True)


def _with_the_newest(saved: Saved, go_on_from: Callable[[Path | None], PruningResult]) -> PruningResult:
    """Go on from the newest checkpoint that can be used, or begin anew."""
    for checkpoint, file in saved:
        log.info("It goes on from the checkpoint at step %d.", checkpoint.step)
        try:
            return go_on_from(file)
        except CheckpointError as error:
            saved.discard(checkpoint, str(error))
    return go_on_from(None)


def _figures(evaluation: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in evaluation.items())


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
