"""The supervisor of one attempt: starts the trainer, keeps the lease, carries stop requests, judges the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path

import structlog

from store import (
    DATABASE_AWAY,
    Claim,
    Database,
    FenceLost,
    JobError,
    LeaseAnswer,
    Settings,
    WriteSession,
    finish_cancelled,
    finish_failed,
    peek,
    release_crashed,
    release_preempted,
    renew,
)

log = structlog.get_logger(__name__)

_LOG_TAIL_BYTES = 8192
#: How often the end of an attempt is tried again while the database is away.
_RETRY_S = 2.0


class TrainerExit(IntEnum):
    """The trainer's exit codes; anything else is a crash."""

    RECORDED = 0  # the trainer wrote the job's end itself
    STOPPED = 75  # it stopped on SIGTERM (EX_TEMPFAIL)
    FENCED = 76  # its writes changed nothing: the job is another's


class Supervisor:
    """Runs attempts, one after the other, each in a process of its own: a crash or leak ends with that process."""

    def __init__(self, database: Database, settings: Settings, is_stopping: Callable[[], bool]) -> None:
        """Keep what every attempt needs.

        Args:
            database: opened in this process.
            settings: intervals and the scratch folder.
            is_stopping: whether the worker was asked to stop.
        """
        self._database = database
        self._settings = settings
        self._is_stopping = is_stopping

    def run(self, claim: Claim) -> None:
        """See a claimed attempt through to its end, whatever happens to the trainer."""
        scratch = self._settings.scratch_dir / f"{claim.fence.job_id}-{claim.fence.attempt}"
        bound = log.bind(job=claim.fence.job_id, attempt=claim.fence.attempt)
        try:
            scratch.mkdir(parents=True, mode=0o700)
            bound.info("attempt_started")
            trainer = _start_trainer(claim, scratch)
            try:
                answer = self._watch(claim, trainer)
            finally:
                _stop(trainer, grace_s=0.0)
            self._conclude(claim, trainer.returncode, answer, _tail(scratch / "trainer.log"))
            bound.info("attempt_ended", exit_code=trainer.returncode, answer=answer)
        except FenceLost:
            bound.warning("attempt_lost")
        except OSError as error:
            bound.exception("attempt_could_not_run")
            detail = f"The worker could not run the trainer: {error}. Look at its scratch folder and disk."
            self._write_end(lambda session: release_crashed(session, claim.fence, JobError("worker_error", detail)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _watch(self, claim: Claim, trainer: subprocess.Popen[bytes]) -> LeaseAnswer:
        """Keep the lease until the trainer ends or has to; return the last word of the database."""
        renewed = time.monotonic()
        while trainer.poll() is None:
            if self._is_stopping():
                _stop(trainer, self._settings.stop_grace_s)
                return LeaseAnswer.KEEP
            now = time.monotonic()
            try:
                if now - renewed >= self._settings.renew_s:
                    with self._database.write() as session:
                        answer = renew(session, claim.fence, self._settings.lease_s)
                    renewed = now
                else:
                    with self._database.read() as reading:
                        answer = peek(reading, claim.fence)
            except DATABASE_AWAY as error:
                log.warning("database_away", job=claim.fence.job_id, error=str(error.__cause__ or error))
                # Past the lease's end another worker may own the job: whatever the trainer does now is waste.
                answer = LeaseAnswer.KEEP if now - renewed < self._settings.lease_s else LeaseAnswer.LOST
            if answer is LeaseAnswer.LOST:
                _stop(trainer, grace_s=0.0)
                return answer
            if answer is not LeaseAnswer.KEEP:
                _stop(trainer, self._settings.stop_grace_s)
                return answer
            _wait(trainer, self._settings.poll_s)
        return LeaseAnswer.KEEP

    def _conclude(self, claim: Claim, exit_code: int, answer: LeaseAnswer, log_tail: str) -> None:
        """Write the attempt's end, unless the trainer already did."""
        fence = claim.fence
        if exit_code in (TrainerExit.RECORDED, TrainerExit.FENCED) or answer is LeaseAnswer.LOST:
            return
        if answer is LeaseAnswer.CANCEL:
            self._write_end(lambda session: finish_cancelled(session, fence))
        elif answer is LeaseAnswer.TIMED_OUT:
            detail = "The job ran longer than limits.max_runtime_s. Raise the limit or train for fewer steps."
            error = JobError("max_runtime_exceeded", detail, log_tail)
            self._write_end(lambda session: finish_failed(session, fence, error))
        elif self._is_stopping():
            self._write_end(lambda session: release_preempted(session, fence))
        else:
            crash = JobError("trainer_crashed", _describe_exit(exit_code), log_tail)
            self._write_end(lambda session: release_crashed(session, fence, crash))

    def _write_end(self, write: Callable[[WriteSession], object]) -> None:
        """Write an attempt's end; wait for a database that is away, for as long as the lease could last."""
        deadline = time.monotonic() + self._settings.lease_s
        while True:
            try:
                with self._database.write() as session:
                    write(session)
                return
            except FenceLost:
                log.warning("end_not_written", reason="the attempt no longer owns the job")
                return
            except DATABASE_AWAY:
                if time.monotonic() > deadline:
                    log.exception("end_not_written", reason="the database is away; the lease will lapse")
                    return
                time.sleep(_RETRY_S)


def _start_trainer(claim: Claim, scratch: Path) -> subprocess.Popen[bytes]:
    """Start the training process in a session of its own; its output goes to `trainer.log`."""
    assignment = scratch / "assignment.json"
    assignment.write_text(json.dumps(asdict(claim)), encoding="utf-8")
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with (scratch / "trainer.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "worker.trainer", str(assignment)],
            stdin=subprocess.PIPE,  # the lifeline: it closes when we die
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _stop(trainer: subprocess.Popen[bytes], grace_s: float) -> None:
    """End the trainer's process group: SIGTERM and `grace_s` seconds to go by itself, then SIGKILL."""
    if grace_s > 0 and trainer.poll() is None:
        _signal_group(trainer, signal.SIGTERM)
        _wait(trainer, grace_s)
    _signal_group(trainer, signal.SIGKILL)  # also what it left behind in its group
    trainer.wait()
    if trainer.stdin:
        trainer.stdin.close()


def _signal_group(trainer: subprocess.Popen[bytes], sig: signal.Signals) -> None:
    try:
        os.killpg(trainer.pid, sig)
    except ProcessLookupError:
        return  # nobody is left in the group


def _wait(trainer: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        trainer.wait(seconds)
    except subprocess.TimeoutExpired:
        return  # it runs on; the caller looks again


def _describe_exit(code: int) -> str:
    """What an exit code says, for the people who read the job."""
    if code >= 0:
        return f"The trainer ended with exit code {code}. Its last output is in log_tail."
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return f"The trainer was killed ({name}), most likely for want of memory: lower batch_size or max_length."
    return f"The trainer was ended by {name}."


def _tail(path: Path) -> str:
    """The last output of a trainer, cleaned of what is not text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").replace("\x00", "")
    except FileNotFoundError:
        return ""
