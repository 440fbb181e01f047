"""The part of `secateur.Client` that is about API keys; it needs a key with the scope `admin`."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import cast
from urllib.parse import quote

from secateur.answers import object_of
from secateur.calls import PAGE_SIZE, Calls
from secateur.resources import AuditEntry, Key, KeyScope, NewKey
from secateur.transport import Again

#: What a key may do unless told otherwise.
USUAL_SCOPES: tuple[KeyScope, ...] = ("read", "submit")


class KeyCalls(Calls):
    """Creates, lists, rotates and revokes the team's keys, and tells what was done with them."""

    def create_key(
        self, name: str, scopes: Collection[KeyScope] = USUAL_SCOPES, expires_in_s: float | None = None
    ) -> NewKey:
        """Create a key; its `key` is what to send, and cannot be had again.

        Args:
            name: What it is for.
            scopes: What it allows.
            expires_in_s: How long it is good, in seconds; None is until it is revoked.

        Raises:
            Invalid: A field is wrong; `errors` names it.
        """
        body = {"name": name, "scopes": sorted(scopes), "expires_in_s": expires_in_s}
        response = self._service.send("POST", "/v1/keys", again=Again.IF_NOT_SENT, json=body)
        return cast(NewKey, object_of(response, "id", "key"))

    def keys(self, *, revoked: bool = False) -> Iterator[Key]:
        """The team's keys, newest first, without their secrets; those that were revoked only if asked for."""
        for entry in self._pages("/v1/keys", {"revoked": revoked, "limit": PAGE_SIZE}):
            yield cast(Key, entry)

    def key(self, key_id: str) -> Key:
        """One key, also of those that were revoked."""
        return cast(Key, object_of(self._get(_key_path(key_id)), "id"))

    def rotate_key(self, key_id: str, overlap_s: float = 0.0) -> NewKey:
        """Create a key of the same name, scopes and life that takes another's place.

        Args:
            key_id: The key to replace.
            overlap_s: How long it stays good beside the new one, in seconds; 0 ends it at once.

        Raises:
            Conflict: It was revoked, has expired, or was rotated before.
        """
        path = _key_path(key_id) + "/rotate"
        response = self._service.send("POST", path, again=Again.IF_NOT_SENT, json={"overlap_s": overlap_s})
        return cast(NewKey, object_of(response, "id", "key"))

    def revoke_key(self, key_id: str) -> None:
        """End a key at once, with the streams that are open on it."""
        self._service.send("DELETE", _key_path(key_id), again=Again.ALWAYS)

    def audit(
        self, *, key_id: str | None = None, target_id: str | None = None, since: datetime | None = None
    ) -> Iterator[AuditEntry]:
        """Every call of the team's keys that could change something, newest first.

        Args:
            key_id: Only what this key did.
            target_id: Only what was done to this job, dataset, …
            since: Only from this time on; it has a zone.
        """
        asked = {"key_id": key_id, "target_id": target_id, "since": since.isoformat() if since else None}
        for entry in self._pages("/v1/audit", {**asked, "limit": PAGE_SIZE}):
            yield cast(AuditEntry, entry)


def _key_path(key_id: str) -> str:
    return f"/v1/keys/{quote(key_id, safe='')}"
