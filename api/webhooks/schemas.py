"""Webhooks as the outside sees them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.fields import Printable
from store import ENDINGS, JOB_EVENTS, Delivery, DeliveryStatus, DeliveryTry, JobEvent, Webhook
from store.destinations import MAX_URL

_DAY_S = 86_400.0
_LONGEST_OVERLAP_S = 30 * _DAY_S


def _once_each(events: list[JobEvent]) -> list[JobEvent]:
    return [event for event in JOB_EVENTS if event in events]


Url = Annotated[str, Field(max_length=MAX_URL)]
Name = Annotated[Printable, Field(min_length=1, max_length=100)]
Events = Annotated[list[JobEvent], Field(min_length=1), AfterValidator(_once_each)]


class NewWebhook(BaseModel):
    """What a new webhook is to be."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="Where messages go: https.")
    name: Name | None = Field(default=None, description="What it is for.")
    events: Events = Field(default=list(ENDINGS), description="What it hears of; left out: the ends of jobs.")
    only_named: bool = Field(default=False, description="Whether it hears only of jobs whose `webhook` is its URL.")


class WebhookChange(BaseModel):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(default_factory=str, description="Where messages go from now on, also those that wait.")
    name: Name | None = Field(default=None, description="What it is for.")
    events: Events = Field(default_factory=list, description="What it hears of.")
    only_named: bool = Field(
        default_factory=bool, description="Whether it hears only of jobs whose `webhook` is its URL."
    )
    enabled: bool = Field(default_factory=bool, description="Whether it hears of anything.")


class SecretRotation(BaseModel):
    """How one secret takes over from another."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: float = Field(
        default=_DAY_S,
        ge=0,
        le=_LONGEST_OVERLAP_S,
        description="How long the old secret signs beside the new one.",
    )


class WebhookView(BaseModel):
    """A webhook, without its secret."""

    id: str
    url: str
    name: str | None
    events: list[JobEvent]
    only_named: bool
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None = Field(description="The first failed try since the last that succeeded.")
    created_at: datetime


class NewWebhookView(WebhookView):
    """A webhook with its newest secret."""

    secret: str = Field(description="What messages are signed with, `whsec_…`. It is shown this once.")


class MessageView(BaseModel):
    """A message to a webhook."""

    id: str = Field(description="The `webhook-id` of every try.")
    type: str
    job: str | None = Field(description="The job that it tells of.")
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None = Field(description="Null once it has ended.")
    created_at: datetime
    finished_at: datetime | None


class TryView(BaseModel):
    """One request to the receiver; `duration_s` is null while it is under way, or if its sender died."""

    number: int
    started_at: datetime
    duration_s: float | None
    status: int | None = Field(description="The answer's HTTP status.")
    response: str | None = Field(description="The beginning of the answer's body.")
    error: str | None = Field(description="Why it failed.")


class MessageLogView(MessageView):
    """A message with its body and its tries."""

    payload: str = Field(description="The body, character by character as it was signed.")
    log: list[TryView]


def webhook_view(webhook: Webhook) -> WebhookView:
    """Show a webhook."""
    return WebhookView(**{name: getattr(webhook, name) for name in WebhookView.model_fields})


def new_webhook_view(made: tuple[Webhook, str]) -> NewWebhookView:
    """Show a webhook with its secret."""
    webhook, secret = made
    return NewWebhookView(**dict(webhook_view(webhook)), secret=secret)


def message_view(delivery: Delivery) -> MessageView:
    """Show a message."""
    return MessageView(
        id=delivery.id,
        type=delivery.type,
        job=delivery.job_id,
        status=delivery.status,
        tries=delivery.tries,
        next_try_at=delivery.next_try_at if delivery.status is DeliveryStatus.PENDING else None,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
    )


def message_log_view(delivery: Delivery, tries: Sequence[DeliveryTry]) -> MessageLogView:
    """Show a message with its body and its tries."""
    log = [TryView(**{name: getattr(each, name) for name in TryView.model_fields}) for each in tries]
    return MessageLogView(**dict(message_view(delivery)), payload=delivery.payload, log=log)
