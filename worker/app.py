"""The Celery app: hears the doorbell, claims jobs in SQL and supervises one at a time. Imports no torch.

Start it with `celery -A worker.app worker -P prefork -c 1 -Q default`.
"""

import mmap
import os

import structlog
from celery import Celery
from celery.signals import worker_process_init, worker_shutting_down

from store import Settings, claim_next, open_database
from store.doorbell import CELERY, DEFAULT_QUEUE, TASK
from worker.lifeline import die_with_parent
from worker.supervisor import Supervisor

log = structlog.get_logger(__name__)
settings = Settings()

app = Celery("secateur", broker=settings.broker_url)
app.conf.update(
    **CELERY,
    task_default_queue=DEFAULT_QUEUE,
    # Acknowledged when heard: the database owns the job, so a message is never worth redelivering (celery#5935).
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)

#: One byte shared with the pool's children, set when the worker is asked to stop. No lock that a SIGKILL could keep.
_stopping = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _announce_stop(**_: object) -> None:
    _stopping[0] = 1


@worker_process_init.connect
def _end_with_the_worker(**_: object) -> None:
    die_with_parent()


@app.task(name=TASK)
def work(queue: str) -> int:
    """Run jobs of a queue until none is eligible or the worker is stopping.

    Returns:
        How many attempts were made.
    """
    database = open_database(settings.database_url)
    attempts = 0
    try:
        supervisor = Supervisor(database, settings, is_stopping=lambda: bool(_stopping[0]))
        while not _stopping[0]:
            with database.write() as session:
                claim = claim_next(session, queue, f"{settings.worker_name}:{os.getpid()}", settings.lease_s)
            if claim is None:
                break
            attempts += 1
            supervisor.run(claim)
    finally:
        database.close()
    return attempts
