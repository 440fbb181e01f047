"""What lies in the broker's list and is no message must not end a worker."""

from queue import Empty

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)


class TolerantChannel(redis.Channel):
    """Throws away what is no message.

    kombu lets the parser's error through to Celery, which calls it unrecoverable and stops consuming. What was popped
    is gone either way, and the database owns the jobs.
    """

    def _brpop_read(self, **options: object) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # the stubs leave it out
        except (ValueError, LookupError, TypeError) as error:  # not JSON, or not the JSON of a message
            log.warning("not_a_message", error=repr(error))
            raise Empty from error


def tolerate_rubbish() -> None:
    """Let every Redis connection of this process use `TolerantChannel`."""
    redis.Transport.Channel = TolerantChannel
