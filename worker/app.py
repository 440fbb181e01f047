"""The Celery app: hears the doorbell, claims jobs in SQL and supervises one at a time. Imports no torch.

Start it with `celery -A worker.app worker -P prefork -c 1 -Q default`.
"""

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from celery import Celery
from celery.signals import worker_process_init, worker_shutting_down

from store import DATABASE_AWAY, Claim, Database, Settings, claim_next, open_database
from store.doorbell import CELERY, DEFAULT_QUEUE, TASK
from worker import logs
from worker.announcing import announce_always
from worker.broker import tolerate_rubbish
from worker.devices import devices_of
from worker.lending import Lender
from worker.lifeline import die_with_parent
from worker.rest import Rest
from worker.scratch import Scratch
from worker.supervisor import Supervisor

log = structlog.get_logger(__name__)
settings = Settings()
logs.configure()
tolerate_rubbish()

app = Celery("secateur", broker=settings.broker_url)
app.conf.update(
    **CELERY,
    task_default_queue=DEFAULT_QUEUE,
    # Acknowledged when heard: the database owns the job, so a message is never worth redelivering (celery#5935).
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    # A job goes on while the broker is away, and the worker never gives up looking for it.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_hijack_root_logger=False,
)

#: One byte shared with the pool's children, set when the worker is asked to stop. No lock that a SIGKILL could keep.
_stopping = mmap.mmap(-1, 1)


#: Of this process, over all that it is rung for.
_rest = Rest()


@worker_shutting_down.connect
def _announce_stop(**_: object) -> None:
    _stopping[0] = 1


@worker_process_init.connect
def _begin_with_the_worker(**_: object) -> None:
    die_with_parent()
    announce_always(settings)


@app.task(name=TASK)
def work(queue: str) -> int:
    """Run jobs of a queue until none is eligible or the worker is stopping.

    Returns:
        How many attempts were made.
    """
    if not isinstance(queue, str):
        raise TypeError(f"A doorbell names a queue; this one said {queue!r}.")
    with _told_to_stop() as told:
        database = open_database(settings.database_url)
        try:
            return _run_jobs(database, queue, lambda: bool(_stopping[0]) or told())
        finally:
            database.close()


def _run_jobs(database: Database, queue: str, is_stopping: Callable[[], bool]) -> int:
    scratch = Scratch(settings.scratch_dir)
    supervisor = Supervisor(database, settings, scratch, is_stopping)
    devices = devices_of(settings.worker_gpus)
    lender = Lender(devices, settings.scratch_dir)
    attempts = 0
    try:
        while not is_stopping() and _rest.is_over():
            # Before the claim: a worker that cannot write must leave the jobs to those that can.
            scratch.check()
            scratch.sweep()
            with lender.free(is_stopping) as loan:
                if not loan.offers:
                    break  # all are lent to jobs beside us; the reconciler rings again
                asked = time.monotonic()
                claim = _claim(database, queue, loan.offers, devices.offered)
                if claim is None:
                    break
                loan.keep(claim.gpus)
                attempts += 1
                began = supervisor.run(claim, loan.variables(), asked)
            if (seconds := _rest.note(began=began)) > 0:
                log.error(
                    "worker_rests", for_s=seconds, reason="its trainers die before they begin; see the jobs' logs"
                )
    except DATABASE_AWAY as error:
        log.warning("database_away", error=str(error.__cause__ or error))  # the reconciler rings again
    except OSError as error:
        log.error("scratch_unusable", folder=str(settings.scratch_dir), error=str(error))
    return attempts


def _claim(database: Database, queue: str, gpus: int, in_all: int) -> Claim | None:
    with database.write() as session:
        return claim_next(
            session,
            queue,
            f"{settings.worker_name}:{os.getpid()}",
            settings.lease_s,
            gpus=gpus,
            in_all=in_all,
            max_running=settings.team_max_running,
        )


@contextmanager
def _told_to_stop() -> Iterator[Callable[[], bool]]:
    """Let a SIGTERM to this very process stop its job in order, too, instead of losing it; then end by it.

    systemd and `pkill` signal every process of a worker at once, and Celery's cold shutdown the pool's children.
    """
    told = False

    def tell(signum: int, frame: object) -> None:
        nonlocal told
        told = True

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield lambda: told
    finally:
        signal.signal(signal.SIGTERM, before)
        if told:
            signal.raise_signal(signal.SIGTERM)
