"""API keys: made once in the clear, kept as hashes, and what they entitle to."""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, case, or_, select, update

from store.clock import db_now
from store.engine import ReadSession, WriteSession
from store.errors import KeyOver, NotFound
from store.ids import new_id
from store.isolation import ACROSS_TEAMS
from store.key_text import mint, read
from store.pages import Page, page_of
from store.tables import Key, Team

_USE_NOTED_EVERY_S = 60.0
"""How often at most a use of a key is written down."""


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
    session: WriteSession,
    team_id: str,
    name: str,
    scopes: Collection[Scope],
    *,
    expires_in_s: float | None = None,
    server_secret: str = "",
) -> tuple[Key, str]:
    """Make a key and return it with its text, which is not kept and cannot be had again.

    Args:
        session: Committed by its owner.
        team_id: Whose key.
        name: What it is for.
        scopes: What it allows.
        expires_in_s: How long it is good, in seconds; None is until it is revoked.
        server_secret: What its hash is keyed with, `Settings.server_secret`.
    """
    key_id = new_id("key")
    text, secret = mint(key_id)
    key = Key(
        id=key_id,
        team_id=team_id,
        name=name,
        scopes=sorted(scopes),
        secret_hash=_hashed(secret, server_secret),
        expires_at=None if expires_in_s is None else db_now(expires_in_s),
    )
    session.add(key)
    session.flush()
    session.refresh(key)
    return key, text


def authenticate(session: ReadSession, text: str, server_secret: str = "") -> Principal | None:
    """Say who a key belongs to; None if it is mistyped, unknown, wrong, revoked or expired.

    A typo is told by the key's checksum, without asking the database.
    """
    found = read(text)
    if found is None:
        return None
    key_id, secret = found
    # Whose it is, is what we ask.
    key = session.scalar(select(Key).where(Key.id == key_id, _is_live()), execution_options=ACROSS_TEAMS)
    if key is None or not hmac.compare_digest(key.secret_hash, _hashed(secret, server_secret)):
        return None
    return Principal(key.id, key.team_id, frozenset(Scope(scope) for scope in key.scopes))


def get_key(session: ReadSession, team_id: str, key_id: str) -> Key:
    """Return a team's key, be it over or not.

    Raises:
        NotFound: The team has no such key.
    """
    key = session.scalar(select(Key).where(Key.team_id == team_id, Key.id == key_id))
    if key is None:
        raise NotFound("key", key_id)
    return key


def list_keys(
    session: ReadSession, team_id: str, *, revoked: bool = False, limit: int = 50, cursor: str | None = None
) -> Page[Key]:
    """Return a page of a team's keys, newest first: those that were not revoked, or those that were.

    Raises:
        InvalidCursor: The cursor is not one that this listing gave out.
    """
    over = Key.revoked_at.is_not(None) if revoked else Key.revoked_at.is_(None)
    rows = select(Key).where(Key.team_id == team_id, over)
    return page_of(session, rows, Key, sort="-created_at", limit=limit, cursor=cursor)


def revoke_key(session: WriteSession, team_id: str, key_id: str) -> None:
    """End a key. The row stays, so that what the key did can be traced to it. Asking again changes nothing.

    Raises:
        NotFound: The team has no such key.
    """
    key = _lock(session, team_id, key_id)
    if key.revoked_at is None:
        session.execute(update(Key).where(Key.team_id == team_id, Key.id == key_id).values(revoked_at=db_now()))


def rotate_key(
    session: WriteSession, team_id: str, key_id: str, *, overlap_s: float = 0.0, server_secret: str = ""
) -> tuple[Key, str]:
    """Make a key that takes another's place; return it with its text.

    The new one has the old one's name and scopes, and lives as long as that one was made to live.

    Args:
        session: Committed by its owner.
        team_id: Whose key.
        key_id: The key to replace.
        overlap_s: How long the old one stays good beside the new one, in seconds.
        server_secret: What the new one's hash is keyed with, `Settings.server_secret`.

    Raises:
        NotFound: The team has no such key.
        KeyOver: It was revoked, has expired, or was rotated before.
    """
    old = _lock(session, team_id, key_id)
    if old.replaced_by is not None:
        raise KeyOver(f"Key {key_id} was rotated before, to {old.replaced_by}. Rotate that one.")
    if not live_keys(session, [key_id]):
        raise KeyOver(f"Key {key_id} was revoked or has expired. Create a new key instead.")
    life_s = None if old.expires_at is None else (old.expires_at - old.created_at).total_seconds()
    scopes = [Scope(scope) for scope in old.scopes]
    new, text = create_key(session, team_id, old.name, scopes, expires_in_s=life_s, server_secret=server_secret)
    end = db_now(overlap_s)
    sooner = case((Key.expires_at < end, Key.expires_at), else_=end)
    ends = {"expires_at": sooner} if overlap_s > 0 else {"revoked_at": end}
    session.execute(
        update(Key).where(Key.team_id == team_id, Key.id == key_id).values(replaced_by=new.id, **ends),
        execution_options={"synchronize_session": False},
    )
    return new, text


def live_keys(session: ReadSession, key_ids: Collection[str]) -> set[str]:
    """Return those of some keys that are neither revoked nor expired."""
    keys = select(Key.id).where(Key.id.in_(key_ids), _is_live())
    return set(session.scalars(keys, execution_options=ACROSS_TEAMS))


def note_use(session: WriteSession, key_id: str) -> None:
    """Write down that a key is in use, unless that was done within the last minute."""
    unknown = or_(Key.last_used_at.is_(None), Key.last_used_at < db_now(-_USE_NOTED_EVERY_S))
    session.execute(
        update(Key).where(Key.id == key_id, unknown).values(last_used_at=db_now()),
        execution_options={"synchronize_session": False, **ACROSS_TEAMS},
    )


def _lock(session: WriteSession, team_id: str, key_id: str) -> Key:
    key = session.scalar(select(Key).where(Key.team_id == team_id, Key.id == key_id).with_for_update())
    if key is None:
        raise NotFound("key", key_id)
    return key


def _is_live() -> ColumnElement[bool]:
    return Key.revoked_at.is_(None) & or_(Key.expires_at.is_(None), Key.expires_at > db_now())


def _hashed(secret: str, server_secret: str) -> str:
    # One round is enough: the secret is 256 random bits, not something a person chose.
    if not server_secret:
        return hashlib.sha256(secret.encode()).hexdigest()
    return hmac.new(server_secret.encode(), secret.encode(), hashlib.sha256).hexdigest()
