"""Signing secrets of webhooks: derived, not kept.

A secret is the HMAC of a random salt under the server's own secret, which is not in the database. So a copy of the
database signs nothing, and there is nothing to encrypt. Without a server secret, the salt alone makes it.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from sqlalchemy import delete, or_, select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.errors import WrongServerSecret
from store.tables import WebhookSecret

_PREFIX = "whsec_"
_SALT_BYTES = 32
_MOST = 5
"""So many secrets sign at once; with one more, the oldest no longer does."""


def add_secret(session: WriteSession, webhook_id: str, server_secret: str, *, overlap_s: float = 0.0) -> str:
    """Make a webhook's next secret and return it. Those before it end after `overlap_s`, or sooner where they would."""
    numbers = session.scalars(
        select(WebhookSecret.number).where(WebhookSecret.webhook_id == webhook_id).order_by(WebhookSecret.number)
    ).all()
    mine = WebhookSecret.webhook_id == webhook_id
    over = or_(WebhookSecret.expires_at <= db_now(), WebhookSecret.number.in_(numbers[: -_MOST + 1]))
    is_over = over if overlap_s > 0 else WebhookSecret.number.in_(numbers)
    session.execute(delete(WebhookSecret).where(mine, is_over).execution_options(synchronize_session=False))
    end = db_now(overlap_s)
    session.execute(
        update(WebhookSecret)
        .where(mine, or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > end))
        .values(expires_at=end)
        .execution_options(synchronize_session=False)
    )
    salt = secrets.token_hex(_SALT_BYTES)
    secret = _derived(salt, server_secret)
    number = numbers[-1] + 1 if numbers else 1
    session.add(WebhookSecret(webhook_id=webhook_id, number=number, salt=salt, fingerprint=_fingerprint(secret)))
    session.flush()
    return secret


def live_secrets(session: ReadSession, webhook_id: str, server_secret: str) -> Sequence[str]:
    """Return the secrets that sign now, the newest first.

    Raises:
        WrongServerSecret: They were made under another server secret than the one we have.
    """
    rows = session.scalars(
        select(WebhookSecret)
        .where(WebhookSecret.webhook_id == webhook_id)
        .where(or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > db_now()))
        .order_by(WebhookSecret.number.desc())
    ).all()
    found = [(_derived(row.salt, server_secret), row.fingerprint) for row in rows]
    if not found or _fingerprint(found[0][0]) != found[0][1]:
        raise WrongServerSecret
    return [secret for secret, fingerprint in found if _fingerprint(secret) == fingerprint]


def _derived(salt: str, server_secret: str) -> str:
    key = hmac.new(server_secret.encode(), f"webhook signing secret {salt}".encode(), hashlib.sha256).digest()
    return _PREFIX + base64.b64encode(key).decode()


def _fingerprint(secret: str) -> str:
    # A hash of 256 random bits, cut short: it tells one secret from another and nothing about either.
    return hashlib.sha256(secret.encode()).hexdigest()[:16]
