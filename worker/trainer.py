"""The training process: fetches inputs, fine-prunes, publishes. The supervisor starts `python -m worker.trainer`."""

import json
import logging
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from transformers.utils import logging as transformers_logging

from pruning_core import PruningSpec, prune
from pruning_core.export import ExportMismatch
from pruning_core.prunable import NothingToPrune
from pruning_core.schedule import ScheduleError
from pruning_core.tasks.text_classification import DataError
from pruning_core.training import Diverged
from store import Claim, Fence, FenceLost, JobError, Settings, finish_failed, open_database
from worker.inputs import fetch_inputs
from worker.lifeline import die_at_end_of_stdin, die_with_parent
from worker.publication import publish
from worker.reporter import Reporter, Stopped
from worker.supervisor import TrainerExit

#: Errors that trying again would only repeat, by the code the job shows.
_FINAL_ERRORS: dict[type[Exception], str] = {
    DataError: "data_error",
    ScheduleError: "schedule_error",
    NothingToPrune: "nothing_to_prune",
    Diverged: "diverged",
    ExportMismatch: "export_mismatch",
}


def main(assignment: Path) -> TrainerExit:
    """Carry out one attempt.

    Args:
        assignment: JSON file with the claim; its folder is the attempt's scratch.

    Returns:
        How it ended, for the supervisor.
    """
    claim = _read_claim(assignment)
    settings = Settings()
    database = open_database(settings.database_url)
    reporter = Reporter(database, claim.fence, settings.lease_s)
    signal.signal(signal.SIGTERM, lambda signum, frame: _ask_to_stop(reporter, signum, frame))
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        spec = PruningSpec.model_validate({name: claim.spec[name] for name in PruningSpec.model_fields})
        inputs = fetch_inputs(database, claim, assignment.parent)
        result = prune(
            inputs.model_dir,
            inputs.train,
            spec,
            assignment.parent / "output",
            evaluation=inputs.evaluation,
            labels=inputs.labels,
            on_progress=reporter,
            lineage_extra=inputs.lineage,
        )
        reporter.flush()
        publish(database, claim.fence, result, assignment.parent / "output")
    except Stopped:
        return TrainerExit.STOPPED
    except FenceLost:
        return TrainerExit.FENCED
    except tuple(_FINAL_ERRORS) as error:
        traceback.print_exc()
        with database.write() as session:
            finish_failed(session, claim.fence, JobError(_FINAL_ERRORS[type(error)], str(error)))
    return TrainerExit.RECORDED


def _ask_to_stop(reporter: Reporter, signum: int, frame: FrameType | None) -> None:
    reporter.stop_requested = True


def _read_claim(path: Path) -> Claim:
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Claim(**{**fields, "fence": Fence(**fields["fence"])})


if __name__ == "__main__":
    die_with_parent()
    die_at_end_of_stdin()
    sys.exit(main(Path(sys.argv[1])))
