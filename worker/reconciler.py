"""The reconciler: takes back jobs of silent workers, rings queues that have work, removes files that are due to go.

Beside that it sends what waits for webhooks.

Any number may run: every action is a conditional update. Start it with `python -m worker.reconciler`.
"""

import argparse
import signal
import threading
from contextlib import closing
from functools import partial
from typing import Any, cast

import structlog
from kombu.exceptions import ChannelError

from store import (
    Database,
    DatabaseBlobStore,
    Settings,
    expire_deliveries,
    expire_uploads,
    open_database,
    queues_with_work,
    requeue_expired,
)
from store.blobs import LONGEST_UPLOAD_S
from store.doorbell import ENOUGH_RINGS
from worker import logs
from worker.app import app, work
from worker.retention import apply_retention
from worker.rounds import each_in_turn, patience, repeat
from worker.sender import Sender

log = structlog.get_logger(__name__)


def reconcile(database: Database, settings: Settings) -> None:
    """One round."""
    parts = (_take_back, _ring_queues, apply_retention, _forget_what_is_past, _sweep)
    each_in_turn([partial(part, database, settings) for part in parts])


def _take_back(database: Database, settings: Settings) -> None:
    with database.write() as session:
        expired = requeue_expired(session)
    for attempt in expired:
        log.warning("lease_lapsed", job=attempt.fence.job_id, attempt=attempt.fence.attempt, status=attempt.status)


def _ring_queues(database: Database, settings: Settings) -> None:
    with database.read() as session:
        queues = queues_with_work(session, settings.team_max_running)
    for queue in queues:
        _ring(queue)


def _forget_what_is_past(database: Database, settings: Settings) -> None:
    with database.write() as session:
        expire_uploads(session)
        if settings.webhook_log_ttl_s is not None:
            expire_deliveries(session, settings.webhook_log_ttl_s)


def _sweep(database: Database, settings: Settings) -> None:
    DatabaseBlobStore(database).sweep(LONGEST_UPLOAD_S)


def _ring(queue: str) -> None:
    try:
        if _rings_waiting(queue) < ENOUGH_RINGS:
            work.apply_async(args=(queue,), queue=queue, retry=False)
    except Exception as error:  # noqa: BLE001 - kombu lets each transport's own errors through; the next round rings again
        log.warning("ring_failed", queue=queue, error=str(error))


def _rings_waiting(queue: str) -> int:
    """How many rings nobody has heard yet."""
    with app.connection_for_write() as connection:
        try:
            channel = cast(Any, connection.default_channel)  # its stub lacks what every transport has
            return int(channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:  # there is no such list: an empty one is none
            return 0


def main() -> None:
    """Reconcile until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m worker.reconciler", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do one round and exit")
    once = parser.parse_args().once
    logs.configure()
    settings = Settings()
    database = open_database(settings.database_url)
    stop = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda signum, frame: stop.set())
    sender = Sender(database, settings)
    if once:
        with closing(sender), patience():
            reconcile(database, settings)
            sender.send_due()
    else:
        with sender:
            repeat(partial(reconcile, database, settings), database, settings, stop)
    database.close()


if __name__ == "__main__":
    main()
