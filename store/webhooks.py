"""Webhooks of a team: made, changed, disabled, given new secrets, and deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.errors import IdempotencyConflict, NotFound, TooManyWebhooks, UrlTaken
from store.ids import new_id
from store.locks import lock_team
from store.pages import Page, page_of
from store.signing import add_secret, live_secrets
from store.submission import KEY_LIFE_S
from store.tables import Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook, ready to be stored."""

    url: str
    events: Sequence[str]
    name: str | None = None
    only_named: bool = False


def create_webhook(
    session: WriteSession,
    team_id: str,
    new: NewWebhook,
    *,
    limit: int,
    idempotency_key: str | None = None,
    body_sha256: str | None = None,
    server_secret: str = "",
) -> tuple[Webhook, str]:
    """Make a webhook and return it with its secret; or the one that the same request made before, with its newest.

    Args:
        session: Committed by its owner.
        team_id: Whose.
        new: The webhook.
        limit: How many a team may have.
        idempotency_key: The client's key, if it sent one; good for 24 hours.
        body_sha256: The digest of the request's body, which tells a repeated request from another.
        server_secret: What its secret is derived with, `Settings.server_secret`.

    Raises:
        IdempotencyConflict: The key was used for another body.
        TooManyWebhooks: The team has as many as it may.
        UrlTaken: It has one of this URL.
    """
    lock_team(session, team_id)
    if idempotency_key is not None and (first := _first_made(session, team_id, idempotency_key)):
        if first.body_sha256 != body_sha256:
            raise IdempotencyConflict(idempotency_key)
        return first, live_secrets(session, first.id, server_secret)[0]
    have = session.scalar(select(func.count()).select_from(Webhook).where(Webhook.team_id == team_id)) or 0
    if have >= limit:
        raise TooManyWebhooks(limit)
    _see_that_url_is_free(session, team_id, new.url)
    webhook = Webhook(
        id=new_id("whk"),
        team_id=team_id,
        url=new.url,
        name=new.name,
        events=new.events,
        only_named=new.only_named,
        idempotency_key=idempotency_key,
        body_sha256=body_sha256,
    )
    session.add(webhook)
    session.flush()
    made = get_webhook(session, team_id, webhook.id)  # asked for with its team: its secrets hang on it
    session.refresh(made)
    return made, add_secret(session, webhook.id, server_secret)


def get_webhook(session: ReadSession, team_id: str, webhook_id: str) -> Webhook:
    """Return a team's webhook.

    Raises:
        NotFound: The team has no such webhook.
    """
    found = session.scalar(select(Webhook).where(*_mine(team_id, webhook_id)).execution_options(populate_existing=True))
    if found is None:
        raise NotFound("webhook", webhook_id)
    return found


def has_webhook(session: ReadSession, team_id: str, url: str) -> bool:
    """Say whether one of a team's webhooks has a URL."""
    return session.scalar(select(Webhook.id).where(Webhook.team_id == team_id, Webhook.url == url)) is not None


def list_webhooks(session: ReadSession, team_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Webhook]:
    """Return a page of a team's webhooks, newest first.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    return page_of(session, select(Webhook).where(Webhook.team_id == team_id), Webhook, limit=limit, cursor=cursor)


def update_webhook(session: WriteSession, team_id: str, webhook_id: str, changes: Mapping[str, object]) -> Webhook:
    """Change a webhook and return it.

    Args:
        session: Committed by its owner.
        team_id: Whose.
        webhook_id: Which.
        changes: New values of `url`, `name`, `events`, `only_named` and `enabled`; what is left out stays as it is.

    Raises:
        NotFound: The team has no such webhook.
        UrlTaken: Another one of the team's has the URL.
    """
    lock_team(session, team_id)
    before = get_webhook(session, team_id, webhook_id)
    url = changes.get("url", before.url)
    if isinstance(url, str) and url != before.url:
        _see_that_url_is_free(session, team_id, url)
    values = dict(changes)
    if "enabled" in changes and changes["enabled"] != before.enabled:
        reason = None if changes["enabled"] else "Disabled by request."
        values |= {"disabled_reason": reason, "disabled_at": reason and db_now(), "failing_since": None}
    if values:
        session.execute(
            update(Webhook)
            .where(*_mine(team_id, webhook_id))
            .values(values)
            .execution_options(synchronize_session=False)
        )
    return get_webhook(session, team_id, webhook_id)


def rotate_webhook(
    session: WriteSession, team_id: str, webhook_id: str, *, overlap_s: float, server_secret: str = ""
) -> tuple[Webhook, str]:
    """Give a webhook a new secret; return both. The one before signs beside it for so many seconds.

    Raises:
        NotFound: The team has no such webhook.
    """
    lock_team(session, team_id)
    webhook = get_webhook(session, team_id, webhook_id)
    return webhook, add_secret(session, webhook_id, server_secret, overlap_s=overlap_s)


def delete_webhook(session: WriteSession, team_id: str, webhook_id: str) -> None:
    """Delete a webhook with its log; what waits is not sent.

    Raises:
        NotFound: The team has no such webhook.
    """
    mine = delete(Webhook).where(*_mine(team_id, webhook_id)).returning(Webhook.id)
    if session.scalar(mine.execution_options(synchronize_session=False)) is None:
        raise NotFound("webhook", webhook_id)


def _mine(team_id: str, webhook_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Webhook.team_id == team_id, Webhook.id == webhook_id


def _see_that_url_is_free(session: ReadSession, team_id: str, url: str) -> None:
    if has_webhook(session, team_id, url):
        raise UrlTaken


def _first_made(session: WriteSession, team_id: str, key: str) -> Webhook | None:
    """The webhook that a request with the key made within the day; of an older one, the key is taken off."""
    keyed = (Webhook.team_id == team_id, Webhook.idempotency_key == key)
    session.execute(
        update(Webhook)
        .where(*keyed, Webhook.created_at < db_now(-KEY_LIFE_S))
        .values(idempotency_key=None)
        .execution_options(synchronize_session=False)
    )
    found = session.scalar(select(Webhook.id).where(*keyed))
    return None if found is None else get_webhook(session, team_id, found)
