"""The outbox of webhooks: with an event of a job, in its transaction, the messages that tell of it are written.

So none is lost and none tells of what did not happen. `store.deliveries` has what becomes of them.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, get_args

from sqlalchemy import Select, bindparam, insert, or_, select

from store.clock import db_now
from store.documents import JsonObject, storable
from store.engine import WriteSession
from store.ids import new_id
from store.isolation import ACROSS_TEAMS
from store.states import DeliveryStatus
from store.tables import Delivery, Job, Webhook

JobEvent = Literal[
    "job.submitted", "job.started", "job.requeued", "job.preempted", "job.batch_halved", "job.paused", "job.resumed",
    "job.succeeded", "job.failed", "job.cancelled",
]  # fmt: skip
"""What a webhook may hear of: `job.` and the type of the job's event."""

JOB_EVENTS: tuple[JobEvent, ...] = get_args(JobEvent)

ENDINGS: tuple[JobEvent, ...] = ("job.succeeded", "job.failed", "job.cancelled")
"""What it hears of unless told otherwise."""

TEST = "webhook.test"
"""The type of a message that only shows whether messages arrive."""

RETRY_WAITS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""How long to wait after each failed try, in seconds, as Standard Webhooks advises: three days in all."""

_TOLD = ("id", "name", "tags", "status", "method", "target_sparsity", "attempt", "result")


def queue_messages(session: WriteSession, job_ids: Sequence[str], seq: int, event: str, said: JsonObject) -> None:
    """Write a message for each webhook of the jobs' team that wants to hear of an event of theirs.

    The webhooks cannot be deleted before the transaction ends, which would break it, and can be changed.
    """
    type_ = f"job.{event}"
    if type_ not in JOB_EVENTS:
        return
    messages = []
    for row in session.execute(_wanting(), {"job_ids": job_ids}).mappings():
        if type_ in row["events"]:
            error = row["error"] and {name: row["error"][name] for name in ("code", "detail")}
            job = {name: row[name] for name in _TOLD} | {"error": error, "url": f"/v1/jobs/{row['id']}"}
            data: JsonObject = {**job, "event": {"seq": seq, "type": event, "data": said}}
            message = _message(row["webhook_id"], type_, row["now"], data)
            messages.append({**message, "job_id": row["id"], "retries_left": len(RETRY_WAITS_S)})
    if messages:
        session.execute(insert(Delivery), messages)


@cache  # it takes longer to put together than to answer
def _wanting() -> Select[Any]:
    """The webhooks that want to hear of some jobs, with what they are told."""
    columns = [getattr(Job, name) for name in (*_TOLD, "error")]
    return (
        select(Webhook.id.label("webhook_id"), Webhook.events, db_now().label("now"), *columns)
        .join(Job, Job.team_id == Webhook.team_id)
        .where(Job.id.in_(bindparam("job_ids", expanding=True)), Webhook.enabled.is_(True))
        .where(or_(Webhook.only_named.is_(False), Job.spec["webhook"].as_string() == Webhook.url))
        .with_for_update(read=True, key_share=True, of=Webhook)
        .execution_options(**ACROSS_TEAMS)  # the jobs are the caller's, and their team says which
    )


def queue_test(session: WriteSession, webhook_id: str) -> str:
    """Write a message that is tried once, to a webhook that the caller has asked for; return its id."""
    now = session.execute(select(db_now())).scalar_one()
    data = {"webhook": webhook_id, "note": "Nothing has happened: somebody asked for a test."}
    message = _message(webhook_id, TEST, now, data)
    session.execute(insert(Delivery).values(**message, retries_left=0))
    return str(message["id"])


def _message(webhook_id: str, type_: str, now: datetime, data: JsonObject) -> dict[str, object]:
    """A message, its body as https://github.com/standard-webhooks/standard-webhooks has it: type, timestamp, data."""
    moment = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document: JsonObject = {"type": type_, "timestamp": moment, "data": data}
    return {
        "id": new_id("msg"),
        "webhook_id": webhook_id,
        "type": type_,
        "payload": json.dumps(storable(document), separators=(",", ":")),
        "status": DeliveryStatus.PENDING,
        "next_try_at": now,
        "created_at": now,
    }
