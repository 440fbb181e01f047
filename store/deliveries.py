"""What becomes of messages to webhooks: claimed by one sender a try, tried again, given up, sent again by hand.

Any number of senders may run. A try is claimed by a conditional update, by which the message is nobody else's until
a lease ends; its number is the fence of what the sender writes afterwards. A sender that dies leaves its try
unfinished, and the next one makes another: a message comes at least once, always under the same id. One at which
senders die again and again has failed as often.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.errors import DeliveryUnderWay, NotFound, WebhookDisabled
from store.isolation import ACROSS_TEAMS
from store.outbox import RETRY_WAITS_S, TEST, queue_test
from store.pages import Page, page_of
from store.states import DeliveryStatus
from store.tables import Delivery, DeliveryTry, Webhook
from store.webhooks import get_webhook

FAILING_S = 5 * 86_400.0
"""A webhook that takes nothing for so long, in seconds, is disabled."""

_JITTER = 0.2
"""By which share a wait may be longer, so that messages that failed together do not come together again."""

_LONGEST_WAIT_S = 86_400.0
_INTERRUPTED = "The sender stopped before it noted what became of this try; the message may have arrived."
_FORGIVEN = 3
"""So many tries of a message may be interrupted before each counts as a failed one."""

_EXPIRED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Claimed:
    """One try, which is ours to make.

    Attributes:
        id: the message's, the `webhook-id`.
        number: which try it is.
        webhook_id: where to.
        url: its address.
        type: the message's.
        payload: the body.
        at: when the try was claimed, by the database's clock.
    """

    id: str
    number: int
    webhook_id: str
    url: str
    type: str
    payload: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try went.

    Attributes:
        duration_s: seconds it took.
        status: the answer's HTTP status; None where none came.
        response: the beginning of the answer's body.
        error: why it failed; None where it did not.
        retry_after_s: how many seconds the receiver asks to be left alone.
    """

    duration_s: float = 0.0
    status: int | None = None
    response: str | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more, ever."""
        return self.status == 410


def due_deliveries(session: ReadSession, *, at_once: int) -> Sequence[tuple[str, str]]:
    """Return the messages that are to be tried now, as (id, webhook's id), of each webhook at most so many."""
    turn = func.row_number().over(partition_by=Delivery.webhook_id, order_by=(Delivery.next_try_at, Delivery.id))
    due = (
        select(Delivery.id, Delivery.webhook_id, Delivery.next_try_at, turn.label("turn"))
        .where(Delivery.status == DeliveryStatus.PENDING, Delivery.next_try_at <= db_now())
        .subquery()
    )
    rows = select(due.c.id, due.c.webhook_id).where(due.c.turn <= at_once).order_by(due.c.next_try_at)
    return [(row.id, row.webhook_id) for row in session.execute(rows, execution_options=ACROSS_TEAMS)]


def claim_try(session: WriteSession, delivery_id: str, lease_s: float) -> Claimed | None:
    """Begin the next try of a message; None if it is not due, or another sender has it, or it is to be given up.

    Args:
        session: Committed by its owner, before anything is sent.
        delivery_id: Which message.
        lease_s: How long nobody else tries it, in seconds.
    """
    claimed = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.status == DeliveryStatus.PENDING, Delivery.next_try_at <= db_now())
        .values(tries=Delivery.tries + 1, next_try_at=db_now(lease_s))
        .returning(Delivery.tries)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if claimed is None:
        return None
    deaths = _interrupted(session, delivery_id)
    found = session.execute(
        select(Delivery.type, Delivery.payload, Webhook.id, Webhook.url, Webhook.enabled, db_now().label("now"))
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.id == delivery_id)
    ).one()
    session.add(DeliveryTry(delivery_id=delivery_id, number=claimed, started_at=found.now))
    session.flush()
    ours = Claimed(delivery_id, claimed, found.id, found.url, found.type, found.payload, found.now)
    if not found.enabled and found.type != TEST:
        _close(session, delivery_id, claimed, Outcome(error="Not sent: the webhook is disabled."))
        _end(session, delivery_id, claimed, DeliveryStatus.FAILED)
        return None
    if deaths > _FORGIVEN:
        broken = Outcome(error=f"Not sent: {deaths} tries of this message ended with their sender.")
        _move_on(session, ours, broken)
        _close(session, delivery_id, claimed, broken)
        return None
    return ours


def finish_try(session: WriteSession, claimed: Claimed, outcome: Outcome) -> DeliveryStatus | None:
    """Note how a try went, and what follows from it for the message and for the webhook.

    Returns:
        What the message is now; None if another sender has claimed it meanwhile, and the rest is theirs to say.
    """
    # The webhook, the message, its try: whoever deletes them takes the locks in this order, too.
    if outcome.error is None:
        _change_webhook(session, claimed, {"failing_since": None}, Webhook.failing_since.is_not(None))
    elif outcome.is_gone:
        _disable(session, claimed, "The receiver answered 410 Gone: it wants no more messages.")
    elif claimed.type != TEST:
        _change_webhook(session, claimed, {"failing_since": db_now()}, Webhook.failing_since.is_(None))
        days = f"{FAILING_S / 86_400:g}"
        why = f"Nothing has been taken for {days} days. The last error: {outcome.error}"
        _disable(session, claimed, why, Webhook.failing_since <= db_now(-FAILING_S))
    status = _move_on(session, claimed, outcome)
    _close(session, claimed.id, claimed.number, outcome)
    return status


def send_test(session: WriteSession, team_id: str, webhook_id: str) -> Delivery:
    """Queue a message that is tried once, to one of a team's webhooks, and return it.

    Raises:
        NotFound: The team has no such webhook.
    """
    get_webhook(session, team_id, webhook_id)
    return get_delivery(session, team_id, webhook_id, queue_test(session, webhook_id))


def resend(session: WriteSession, team_id: str, webhook_id: str, delivery_id: str) -> Delivery:
    """Queue a message again, as if it were new, under its own id; return it.

    Raises:
        NotFound: The team has no such webhook, or that no such message.
        DeliveryUnderWay: It has not ended.
        WebhookDisabled: Nothing but a test can be sent to it.
    """
    webhook = get_webhook(session, team_id, webhook_id)
    delivery = get_delivery(session, team_id, webhook_id, delivery_id)
    if not webhook.enabled and delivery.type != TEST:
        raise WebhookDisabled(webhook_id)
    queued = session.scalar(
        update(Delivery)
        .where(Delivery.webhook_id == webhook_id, Delivery.id == delivery_id)
        .where(Delivery.status != DeliveryStatus.PENDING)
        .values(
            status=DeliveryStatus.PENDING,
            retries_left=0 if delivery.type == TEST else len(RETRY_WAITS_S),
            next_try_at=db_now(),
            finished_at=None,
        )
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    if queued is None:
        raise DeliveryUnderWay(delivery_id)
    return get_delivery(session, team_id, webhook_id, delivery_id)


def get_delivery(session: ReadSession, team_id: str, webhook_id: str, delivery_id: str) -> Delivery:
    """Return a message to one of a team's webhooks.

    Raises:
        NotFound: The team has no such webhook, or that no such message.
    """
    get_webhook(session, team_id, webhook_id)
    found = session.scalar(
        select(Delivery)
        .where(Delivery.webhook_id == webhook_id, Delivery.id == delivery_id)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("message", delivery_id)
    return found


def list_deliveries(
    session: ReadSession,
    team_id: str,
    webhook_id: str,
    *,
    status: DeliveryStatus | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Delivery]:
    """Return a page of the messages to one of a team's webhooks, newest first.

    Raises:
        NotFound: The team has no such webhook.
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    get_webhook(session, team_id, webhook_id)
    rows = select(Delivery).where(Delivery.webhook_id == webhook_id)
    if status is not None:
        rows = rows.where(Delivery.status == status)
    return page_of(session, rows, Delivery, limit=limit, cursor=cursor, filters=[webhook_id, status])


def tries_of(session: ReadSession, delivery: Delivery) -> Sequence[DeliveryTry]:
    """Return the tries of a message that was asked for in this session, oldest first."""
    mine = select(DeliveryTry).where(DeliveryTry.delivery_id == delivery.id)
    return session.scalars(mine.order_by(DeliveryTry.number)).all()


def expire_deliveries(session: WriteSession, ttl_s: float) -> int:
    """Forget messages that ended so many seconds ago, at most a thousand; say how many."""
    past = select(Delivery.id).where(Delivery.finished_at <= db_now(-ttl_s)).limit(_EXPIRED_AT_ONCE)
    past = past.with_for_update(skip_locked=True)  # another reconciler is at these
    gone = delete(Delivery).where(Delivery.id.in_(past)).returning(Delivery.id)
    return len(session.scalars(gone.execution_options(synchronize_session=False)).all())


def _interrupted(session: WriteSession, delivery_id: str) -> int:
    """Write down that nobody finished the last try, and say how many ended so by now; 0 where the last one did not."""
    mine = DeliveryTry.delivery_id == delivery_id
    left = session.execute(
        update(DeliveryTry)
        .where(mine, DeliveryTry.duration_s.is_(None), DeliveryTry.error.is_(None))
        .values(error=_INTERRUPTED)
        .returning(DeliveryTry.number)
        .execution_options(synchronize_session=False)
    ).all()
    if not left:
        return 0
    return session.scalar(select(func.count()).where(mine, DeliveryTry.error == _INTERRUPTED)) or 0


def _disable(session: WriteSession, claimed: Claimed, why: str, *conditions: object) -> None:
    values = {"enabled": False, "disabled_at": db_now(), "disabled_reason": why}
    _change_webhook(session, claimed, values, Webhook.enabled.is_(True), *conditions)


def _change_webhook(session: WriteSession, claimed: Claimed, values: Mapping[str, object], *conditions: object) -> None:
    session.execute(
        update(Webhook)
        .where(Webhook.id == claimed.webhook_id, *conditions)  # type: ignore[arg-type]  # SQL conditions
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _move_on(session: WriteSession, claimed: Claimed, outcome: Outcome) -> DeliveryStatus | None:
    """Take a message to its end, or to its next try."""
    if outcome.error is None:
        return _end(session, claimed.id, claimed.number, DeliveryStatus.SUCCEEDED)
    retries = session.scalar(select(Delivery.retries_left).where(Delivery.id == claimed.id))
    if outcome.is_gone or not retries:
        return _end(session, claimed.id, claimed.number, DeliveryStatus.FAILED)
    wait_s = RETRY_WAITS_S[-retries] * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311 - chance, not a secret
    wait_s = max(wait_s, min(outcome.retry_after_s or 0.0, _LONGEST_WAIT_S))
    return _move(session, claimed.id, claimed.number, {"retries_left": retries - 1, "next_try_at": db_now(wait_s)})


def _close(session: WriteSession, delivery_id: str, number: int, outcome: Outcome) -> None:
    """Write down how a try went, also of one that was taken for interrupted."""
    session.execute(
        update(DeliveryTry)
        .where(DeliveryTry.delivery_id == delivery_id, DeliveryTry.number == number)
        .values(
            duration_s=outcome.duration_s,
            status=outcome.status,
            response=outcome.response,
            error=outcome.error,
        )
        .execution_options(synchronize_session=False)
    )


def _end(session: WriteSession, delivery_id: str, number: int, status: DeliveryStatus) -> DeliveryStatus | None:
    return _move(session, delivery_id, number, {"status": status, "finished_at": db_now()})


def _move(session: WriteSession, delivery_id: str, number: int, values: Mapping[str, object]) -> DeliveryStatus | None:
    return session.scalar(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.tries == number, Delivery.status == DeliveryStatus.PENDING)
        .values(values)
        .returning(Delivery.status)
        .execution_options(synchronize_session=False)
    )
