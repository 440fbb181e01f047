"""The doorbell: tells workers that a queue has work. Nothing depends on it, so nothing waits for it or fails by it."""

import threading
from queue import SimpleQueue
from typing import Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from store.doorbell import CELERY, TASK

log = structlog.get_logger(__name__)

#: How long readiness waits for the broker: it is asked often, by things that wait for the answer.
_PING_TIMEOUTS: Final = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0}


#: How long nobody rings after a ring has failed, in seconds: one for each submit costs as much as the submit. What is
#: not rung meanwhile goes out then; what failed is rung by the reconciler.
REST_S: Final = 2.0


class Bell:
    """Rings queues from a thread of its own.

    A hung broker can hold a publish for seconds, a dead one for as long as its timeouts; here they hold up only the
    next ring. Rings of one queue that have not gone out yet are one ring.
    """

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("secateur", broker=broker_url, set_as_current=False)
        self._celery.conf.update(CELERY)
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def ring(self, queue: str) -> None:
        """Ask for a ring and return at once. Call it after the commit that made the work visible."""
        with self._lock:
            if queue in self._waiting:
                return
            self._waiting.add(queue)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="bell", daemon=True)
                self._thread.start()
        self._queue.put(queue)

    def broker_answers(self) -> bool:
        """Whether the broker answers within a second."""
        try:
            # Through kombu, which knows every form a broker URL may have, `redis+socket://` among them.
            with self._celery.connection_for_read(transport_options=_PING_TIMEOUTS) as connection:
                return bool(connection.default_channel.client.ping())  # type: ignore[attr-defined]  # Redis channels have it
        except (OperationalError, RedisError):
            return False

    def workers(self) -> int:
        """How many workers answer within a second; ask only while the broker does."""
        try:
            return len(self._celery.control.ping(timeout=1) or [])
        except (OperationalError, RedisError):
            return 0

    def close(self) -> None:
        """Stop after the rings asked for so far, without waiting for a hung broker."""
        self._closing.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _serve(self) -> None:
        while (queue := self._queue.get()) is not None:
            with self._lock:
                self._waiting.discard(queue)
            self._send(queue)

    def _send(self, queue: str) -> None:
        try:
            self._celery.send_task(TASK, args=[queue], queue=queue, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001 - kombu lets each transport's own errors through; none may end this thread
            log.warning("ring_failed", queue=queue, error=str(error), kind=type(error).__name__)
            self._closing.wait(REST_S)
