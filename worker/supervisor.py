"""The supervisor of one attempt: starts the trainer, carries stop requests, freezes it in doubt, judges the end."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from store import (
    DATABASE_AWAY,
    Claim,
    Database,
    Fence,
    FenceLost,
    JobError,
    LeaseAnswer,
    Settings,
    WriteSession,
    finish_cancelled,
    finish_failed,
    release_crashed,
    release_preempted,
    release_starved,
)
from worker.keeper import LeaseKeeper, safe_until
from worker.oom_killer import oom_kills
from worker.process import Trainer, TrainerExit, describe_exit
from worker.scratch import Scratch

log = structlog.get_logger(__name__)

#: How often the end of an attempt is tried again while the database is away.
_RETRY_S = 2.0
#: A trainer that has written its job's end may take so long to leave.
_LEAVE_S = 15.0


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

    def run(self, claim: Claim, variables: Mapping[str, str], since: float) -> bool:
        """See a claimed attempt through to its end, whatever happens to the trainer.

        Args:
            claim: the attempt.
            variables: of the trainer's environment, which say what devices it has.
            since: when the claim was asked for (CLOCK_MONOTONIC): the lease lasts from then at least.

        Returns:
            False if the trainer died before it came as far as its job: something is wrong here, and not with the job.
        """
        bound = log.bind(job=claim.fence.job_id, attempt=claim.fence.attempt)
        try:
            with self._scratch.folder(f"{claim.fence.job_id}-{claim.fence.attempt}") as scratch:
                bound.info("attempt_started")
                killed_before = oom_kills()
                trainer = Trainer(claim, scratch, variables, safe_until(since, self._settings))
                keeper = LeaseKeeper(self._database, claim.fence, self._settings, trainer, since)
                try:
                    stalled = self._watch(trainer, keeper)
                finally:
                    keeper.stop()
                    trainer.kill()
                starved = trainer.exit_code == -signal.SIGKILL and oom_kills() != killed_before
                self._conclude(claim.fence, trainer, keeper, stalled=stalled, starved=starved)
                bound.info("attempt_ended", exit_code=trainer.exit_code, answer=keeper.answer, stalled=stalled)
                asked_to_stop = keeper.answer is not LeaseAnswer.KEEP or self._is_stopping()
                return trainer.pulse.beat > 0.0 or asked_to_stop
        except OSError as error:
            bound.exception("attempt_could_not_run")
            detail = f"The worker could not run the trainer: {error}. Look at its scratch folder and disk."
            self._write_end(lambda session: release_crashed(session, claim.fence, JobError("worker_error", detail)))
            return False

    def _watch(self, trainer: Trainer, keeper: LeaseKeeper) -> bool:
        """Return when the trainer has ended or must be killed; say whether that is because it got no further."""
        frozen, asked, patience = False, LeaseAnswer.KEEP, math.inf
        alive = time.monotonic()
        while trainer.runs():
            now, answer = time.monotonic(), keeper.answer
            if answer is LeaseAnswer.ENDED:
                trainer.wait(_LEAVE_S)
            if answer in (LeaseAnswer.ENDED, LeaseAnswer.LOST) or now >= patience:
                return False
            # The trainer does not step past this on its own account, should we be the ones who stand still.
            trainer.pulse.deadline = keeper.safe_until
            in_doubt = now >= keeper.safe_until
            # Not within a transaction, whose locks others need: SQLite's is the only one, and the renewal waits for it.
            if frozen != (in_doubt and not trainer.pulse.writing):
                frozen = not frozen
                log.warning("trainer_frozen" if frozen else "trainer_thawed", lease_s=self._settings.lease_s)
                (trainer.freeze if frozen else trainer.thaw)()
            alive = now if in_doubt else max(alive, trainer.pulse.beat)
            if now - alive >= self._settings.stalled_s:
                return True
            if answer is LeaseAnswer.KEEP and self._is_stopping():
                answer = LeaseAnswer.PAUSE
            if answer not in (asked, LeaseAnswer.KEEP):  # a pause may be followed by a cancel
                (trainer.ask_to_leave if answer is LeaseAnswer.CANCEL else trainer.ask_to_save)()
                asked, patience = answer, min(patience, now + self._settings.stop_grace_s)
            trainer.trim_log()
            trainer.wait(self._settings.poll_s)
        return False

    def _conclude(self, fence: Fence, trainer: Trainer, keeper: LeaseKeeper, *, stalled: bool, starved: bool) -> None:
        """Write the attempt's end, unless the trainer already did."""
        exit_code, answer, log_tail = trainer.exit_code, keeper.answer, trainer.log_tail()
        with suppress(*DATABASE_AWAY, FenceLost):
            keeper.write_log()
        if exit_code == TrainerExit.FENCED or answer in (LeaseAnswer.ENDED, LeaseAnswer.LOST):
            return
        if exit_code == TrainerExit.RECORDED:
            # Normally refused, because it has recorded the end itself; else it went without a word.
            silent = JobError("trainer_crashed", "The trainer ended without a result.", log_tail)
            self._write_end(lambda session: release_crashed(session, fence, silent), expect_recorded=True)
        elif stalled:
            detail = f"The trainer got no further for {self._settings.stalled_s:g} s and was killed."
            self._write_end(lambda session: release_crashed(session, fence, JobError("stalled", detail, log_tail)))
        elif answer is LeaseAnswer.CANCEL:
            self._write_end(lambda session: finish_cancelled(session, fence))
        elif answer is LeaseAnswer.TIMED_OUT:
            detail = (
                "The attempt ran longer than limits.max_runtime_s. Retry the job: it goes on from its last checkpoint, "
                "if it has one, for as long again. Or submit it with a higher limit or fewer steps."
            )
            error = JobError("max_runtime_exceeded", detail, log_tail)
            self._write_end(lambda session: finish_failed(session, fence, error))
        elif answer is LeaseAnswer.PAUSE or self._is_stopping() or exit_code == TrainerExit.STOPPED:
            self._write_end(lambda session: release_preempted(session, fence))
        elif starved:
            detail = (
                "The host ran out of memory, and its kernel killed the trainer. Lower training.batch_size or "
                "max_length, say batch_size 'auto', or use a larger machine."
            )
            error = JobError("out_of_memory", detail, log_tail)
            self._write_end(lambda session: release_starved(session, fence, error))
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
