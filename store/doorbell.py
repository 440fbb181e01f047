"""The doorbell's message: what the API sends and the workers hear. Constants only: the store speaks to no broker.

A message names a queue, never a job: lost, doubled or late ones are harmless, because the database owns the jobs.
"""

from typing import Final

#: Name of the one Celery task.
TASK: Final = "secateur.work"
#: A ring that nobody heard for this many seconds is stale; the reconciler rings again. A worker judges that by its own
#: clock, so that one whose clock is further ahead than this hears nothing at all: an hour is a fault that people notice.
EXPIRES_S: Final = 3600
#: The queue that jobs wait in.
DEFAULT_QUEUE: Final = "default"

#: Celery's settings on both ends.
CELERY: Final[dict[str, object]] = {
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    # Without timeouts a hung broker blocks a publish for minutes (celery#4296, #6911).
    "task_publish_retry": False,
    "broker_connection_timeout": 2,
    "broker_transport_options": {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 0},
}
