"""The supervisor of one attempt: starts the trainer, keeps the lease, carries stop requests, judges the end."""

import time
from collections.abc import Callable

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
from worker.process import Trainer, TrainerExit, describe_exit
from worker.scratch import Scratch

log = structlog.get_logger(__name__)

#: How often the end of an attempt is tried again while the database is away.
_RETRY_S = 2.0


class Supervisor:
    """Runs attempts, one after the other, each in a process of its own: a crash or leak ends with that process."""

    def __init__(
        self, database: Database, settings: Settings, scratch: Scratch, is_stopping: Callable[[], bool]
    ) -> None:
        """Keep what every attempt needs.

        Args:
            database: opened in this process.
            settings: intervals.
            scratch: where attempts unpack and write.
            is_stopping: whether the worker was asked to stop.
        """
        self._database = database
        self._settings = settings
        self._scratch = scratch
        self._is_stopping = is_stopping

    def run(self, claim: Claim) -> None:
        """See a claimed attempt through to its end, whatever happens to the trainer."""
        bound = log.bind(job=claim.fence.job_id, attempt=claim.fence.attempt)
        try:
            with self._scratch.folder(f"{claim.fence.job_id}-{claim.fence.attempt}") as scratch:
                bound.info("attempt_started")
                trainer = Trainer(claim, scratch)
                try:
                    answer = self._watch(claim, trainer)
                finally:
                    trainer.kill()
                self._conclude(claim, trainer.exit_code, answer, trainer.log_tail())
                bound.info("attempt_ended", exit_code=trainer.exit_code, answer=answer)
        except OSError as error:
            bound.exception("attempt_could_not_run")
            detail = f"The worker could not run the trainer: {error}. Look at its scratch folder and disk."
            self._write_end(lambda session: release_crashed(session, claim.fence, JobError("worker_error", detail)))

    def _watch(self, claim: Claim, trainer: Trainer) -> LeaseAnswer:
        """Keep the lease until the trainer has ended or must be killed; return the last word of the database."""
        answer = LeaseAnswer.KEEP
        renewed = time.monotonic()
        patience: float | None = None
        while trainer.runs():
            now = time.monotonic()
            if patience is not None and now >= patience:
                break
            try:
                # While it stops, too: a lease that lapsed meanwhile would give the job to another.
                answer, renewed = self._ask(claim, renewed, now)
            except DATABASE_AWAY as error:
                log.warning("database_away", job=claim.fence.job_id, error=str(error.__cause__ or error))
                # Past the lease's end another worker may own the job: whatever the trainer does now is waste.
                if now - renewed >= self._settings.lease_s:
                    answer = LeaseAnswer.LOST
            if answer is LeaseAnswer.LOST:
                break
            if patience is None and (answer is not LeaseAnswer.KEEP or self._is_stopping()):
                trainer.ask_to_stop()
                patience = now + self._settings.stop_grace_s
            trainer.trim_log()
            trainer.wait(self._settings.poll_s)
        return answer

    def _ask(self, claim: Claim, renewed: float, now: float) -> tuple[LeaseAnswer, float]:
        """Renew the lease if it is time, else only look; return the answer and when the lease was renewed."""
        if now - renewed < self._settings.renew_s:
            with self._database.read() as reading:
                return peek(reading, claim.fence), renewed
        with self._database.write() as session:
            return renew(session, claim.fence, self._settings.lease_s), now

    def _conclude(self, claim: Claim, exit_code: int, answer: LeaseAnswer, log_tail: str) -> None:
        """Write the attempt's end, unless the trainer already did."""
        fence = claim.fence
        if exit_code == TrainerExit.FENCED or answer is LeaseAnswer.LOST:
            return
        if exit_code == TrainerExit.RECORDED:
            # Normally refused, because it has recorded the end itself; else it went without a word.
            silent = JobError("trainer_crashed", "The trainer ended without a result.", log_tail)
            self._write_end(lambda session: release_crashed(session, fence, silent), expect_recorded=True)
        elif answer is LeaseAnswer.CANCEL:
            self._write_end(lambda session: finish_cancelled(session, fence))
        elif answer is LeaseAnswer.TIMED_OUT:
            detail = "The job ran longer than limits.max_runtime_s. Raise the limit or train for fewer steps."
            error = JobError("max_runtime_exceeded", detail, log_tail)
            self._write_end(lambda session: finish_failed(session, fence, error))
        elif self._is_stopping() or exit_code == TrainerExit.STOPPED:
            self._write_end(lambda session: release_preempted(session, fence))
        else:
            crash = JobError("trainer_crashed", describe_exit(exit_code, log_tail), log_tail)
            self._write_end(lambda session: release_crashed(session, fence, crash))

    def _write_end(self, write: Callable[[WriteSession], object], *, expect_recorded: bool = False) -> None:
        """Write an attempt's end; wait for a database that is away, for as long as the lease could last."""
        deadline = time.monotonic() + self._settings.lease_s
        while True:
            try:
                with self._database.write() as session:
                    write(session)
                return
            except FenceLost:
                if not expect_recorded:
                    log.warning("end_not_written", reason="the attempt no longer owns the job")
                return
            except DATABASE_AWAY:
                if time.monotonic() > deadline:
                    log.exception("end_not_written", reason="the database is away; the lease will lapse")
                    return
                time.sleep(_RETRY_S)
