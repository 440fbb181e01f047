"""The id of the request that is being answered: in logs, in problems, in the audit trail."""

from contextvars import ContextVar

from structlog.types import EventDict

#: Set for each request by `logs.RequestLog`, and copied into the tasks that it starts. One variable of our own, since
#: structlog's looks through all that there are, twice for each request.
current: ContextVar[str | None] = ContextVar("request_id", default=None)


def name_request(_: object, __: str, event: EventDict) -> EventDict:
    """A processor for structlog: an event that happens while a request is answered names it."""
    if (request_id := current.get()) is not None:
        event["request_id"] = request_id
    return event
