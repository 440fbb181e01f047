"""API keys: made once in the clear, kept as hashes, and what they entitle to."""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import or_, select

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.ids import new_id
from store.tables import Key, Team


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a key, and the team it speaks for."""

    key_id: str
    team_id: str
    scopes: frozenset[Scope]


def ensure_team(session: WriteSession, name: str) -> Team:
    """Return the team of a name; make it if there is none."""
    team = session.scalar(select(Team).where(Team.name == name))
    if team is None:
        team = Team(id=new_id("team"), name=name)
        session.add(team)
        session.flush()
    return team


def create_key(
    session: WriteSession, team_id: str, name: str, scopes: Collection[Scope], expires_at: datetime | None = None
) -> tuple[Key, str]:
    """Make a key and return it with its plaintext, `sec_<id>_<secret>`, which is not kept and cannot be had again."""
    secret = secrets.token_urlsafe(32)
    key = Key(
        id=new_id("key"),
        team_id=team_id,
        name=name,
        scopes=sorted(scopes),
        secret_hash=_hashed(secret),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, f"sec_{key.id.removeprefix('key_')}_{secret}"


def authenticate(session: ReadSession, plaintext: str) -> Principal | None:
    """Say who a key belongs to; None if it is unknown, wrong, revoked or expired."""
    match plaintext.split("_", 2):
        case ["sec", id_, secret] if id_.isalnum() and id_.isascii():
            key = session.scalar(
                select(Key).where(
                    Key.id == f"key_{id_}",
                    Key.revoked_at.is_(None),
                    or_(Key.expires_at.is_(None), Key.expires_at > db_now()),
                )
            )
        case _:
            return None
    if key is None or not hmac.compare_digest(key.secret_hash, _hashed(secret)):
        return None
    return Principal(key.id, key.team_id, frozenset(Scope(scope) for scope in key.scopes))


def _hashed(secret: str) -> str:
    # One round of SHA-256 is enough: the secret is 256 random bits, not something a person chose.
    return hashlib.sha256(secret.encode()).hexdigest()
