"""The doorbell's message: what the API sends and the workers hear. Constants only: the store speaks to no broker.

A message names a queue, never a job: lost, doubled or late ones are harmless, because the database owns the jobs.
"""

from typing import Final

#: Name of the one Celery task.
TASK: Final = "secateur.work"
#: Where so many rings wait already, the reconciler adds none. They do not expire: Celery judges that by the worker's
#: own clock, and one that is ahead would hear nothing at all.
ENOUGH_RINGS: Final = 100
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
