"""Webhooks: where a team is told of its jobs, what signs it, and what became of each message."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.documents import JsonDocument
from store.states import DeliveryStatus
from store.tables.base import Base, Written, words


class Webhook(Base):
    """An address that hears of a team's jobs."""

    __tablename__ = "webhook"
    __table_args__ = (
        Index(None, "team_id", "created_at", "id"),
        Index("ux_webhook_url", "team_id", "url", unique=True),
        Index("ux_webhook_idempotency_key", "team_id", "idempotency_key", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"))
    url: Mapped[str]
    name: Mapped[str | None]
    events: Mapped[Sequence[str]] = mapped_column(JsonDocument)
    only_named: Mapped[bool]  # hears only of jobs whose spec names its URL
    created_at: Mapped[Written]

    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]  # the first failed try since the last one that succeeded

    idempotency_key: Mapped[str | None]  # of the request that made it, for a day
    body_sha256: Mapped[str | None]


class WebhookSecret(Base):
    """What a signing secret is derived from, with the server's own (`store.signing`); the secret itself is not kept."""

    __tablename__ = "webhook_secret"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    salt: Mapped[str]
    fingerprint: Mapped[str]  # tells that the server's secret is still the one that it was made under
    created_at: Mapped[Written]
    expires_at: Mapped[datetime | None]  # null: the one that signs; the others were rotated away


class Delivery(Base):
    """A message to a webhook, from the event it tells of to its receipt. Its id is the `webhook-id` of every try."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index(None, "webhook_id", "created_at", "id"),
        Index(None, "finished_at"),  # what retention reads
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    job_id: Mapped[str | None]  # no reference: what was told stays in the log; null: a test
    type: Mapped[str]
    payload: Mapped[str]  # the very characters that are signed
    status: Mapped[DeliveryStatus] = mapped_column(words(DeliveryStatus, "status"))
    tries: Mapped[int] = mapped_column(default=0)  # the fence: the number of the latest try
    retries_left: Mapped[int]
    next_try_at: Mapped[datetime]  # while it is being sent: when somebody else may try
    created_at: Mapped[Written]
    finished_at: Mapped[datetime | None]


# What the senders ask for every second: few messages wait, however many were sent.
Index(
    "ix_webhook_delivery_pending",
    Delivery.next_try_at,
    Delivery.webhook_id,
    sqlite_where=text("status = 'pending'"),
    postgresql_where=text("status = 'pending'"),
)


class DeliveryTry(Base):
    """One request to a receiver. Without `duration_s` it is under way, or its sender died."""

    __tablename__ = "webhook_try"

    delivery_id: Mapped[str] = mapped_column(ForeignKey("webhook_delivery.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    duration_s: Mapped[float | None]
    status: Mapped[int | None]  # of the answer
    response: Mapped[str | None]  # the beginning of the answer's body
    error: Mapped[str | None]
