"""API keys as the outside sees them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from api.fields import Printable
from store import Key, Scope

_DAY_S = 86_400.0
#: Longer is no limit at all: leave `expires_in_s` out instead.
_LONGEST_LIFE_S = 3650 * _DAY_S
_LONGEST_OVERLAP_S = 30 * _DAY_S


class NewKey(BaseModel):
    """What a new key is to be."""

    model_config = ConfigDict(extra="forbid")

    name: Printable = Field(min_length=1, max_length=100, description="What it is for.", examples=["nightly builds"])
    scopes: list[Scope] = Field(default=[Scope.READ, Scope.SUBMIT], min_length=1, description="What it allows.")
    expires_in_s: float | None = Field(
        default=None, gt=0, le=_LONGEST_LIFE_S, description="How long it is good, in seconds; null is until revoked."
    )


class Rotation(BaseModel):
    """How one key takes over from another."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: float = Field(
        default=0, ge=0, le=_LONGEST_OVERLAP_S, description="How long the old key stays good beside the new one."
    )


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To about a minute.")
    revoked_at: datetime | None
    replaced_by: str | None = Field(description="The id of the key that it was rotated to.")
    url: str


class NewKeyView(KeyView):
    """A key that was just made."""

    key: str = Field(description="What to send. It is shown this once: only a hash of it is kept.")


def key_view(key: Key) -> KeyView:
    """Show a key."""
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=[Scope(scope) for scope in key.scopes],
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
        url=f"/v1/keys/{key.id}",
    )


def new_key_view(made: tuple[Key, str]) -> NewKeyView:
    """Show a key that was just made, with its secret."""
    key, text = made
    return NewKeyView(**key_view(key).model_dump(), key=text)
