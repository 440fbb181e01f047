"""What the service returns about webhooks, field by field; see `secateur.resources`."""

from typing import Literal, TypedDict

WebhookEvent = Literal[
    "job.submitted", "job.started", "job.requeued", "job.preempted", "job.batch_halved", "job.paused", "job.resumed",
    "job.succeeded", "job.failed", "job.cancelled",
]  # fmt: skip

MessageStatus = Literal["pending", "succeeded", "failed"]


class Webhook(TypedDict):
    """A URL that hears of the team's jobs, without its secret."""

    id: str
    url: str
    name: str | None
    events: list[WebhookEvent]
    only_named: bool
    enabled: bool
    disabled_at: str | None
    disabled_reason: str | None
    failing_since: str | None
    created_at: str


class NewWebhook(Webhook):
    """A webhook with its newest secret, which is shown this once."""

    secret: str


class Message(TypedDict):
    """A message to a webhook; `job` is null for a test."""

    id: str
    type: str
    job: str | None
    status: MessageStatus
    tries: int
    next_try_at: str | None
    created_at: str
    finished_at: str | None


class Try(TypedDict):
    """One request to a receiver; `duration_s` is null while it is under way, or if its sender died."""

    number: int
    started_at: str
    duration_s: float | None
    status: int | None
    response: str | None
    error: str | None


class MessageLog(Message):
    """A message with its body and its tries."""

    payload: str
    log: list[Try]
