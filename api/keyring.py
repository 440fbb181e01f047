"""The keys that were shown lately: a request with one of them asks no database."""

import hashlib
import time
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from api.journal import Journal
from store import Database, Principal, authenticate, note_use

#: How long a key is taken for good without asking, in seconds; so long, at most, an API process honours one that was
#: revoked through another process.
KNOWN_S = 2.0
#: How often a use is handed on to be written down, in seconds.
_USE_NOTED_EVERY_S = 60.0
#: More keys than this are not held; an API that so many use at once asks for some of them again.
_MOST = 10_000


@dataclass(frozen=True)
class _Known:
    """What a key entitles to, as it was at a moment of the monotonic clock."""

    principal: Principal
    at: float


class Keyring:
    """Tells whose a key is. Keys are held by their digests, never in the clear."""

    def __init__(self, database: Database, journal: Journal, server_secret: str) -> None:
        self._database = database
        self._journal = journal
        self._server_secret = server_secret
        self._known: dict[bytes, _Known] = {}
        self._noted: dict[str, float] = {}
        self._forgotten = 0

    async def principal(self, text: str) -> Principal | None:
        """Who a key speaks for; None if it is mistyped, unknown, wrong, revoked or expired."""
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest)
        if known is None or time.monotonic() - known.at > KNOWN_S:
            asked_at, forgotten = time.monotonic(), self._forgotten
            principal = await run_in_threadpool(self._look_up, text)
            if principal is None:
                self._known.pop(digest, None)
                return None
            if forgotten != self._forgotten:  # it may have been revoked while we asked: the next request asks again
                return principal
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[digest] = _Known(principal, asked_at)
        self._note(known.principal.key_id)
        return known.principal

    def has_met(self, text: str) -> bool:
        """Whether a key was good when it was last shown here; asks nobody."""
        return hashlib.sha256(text.encode()).digest() in self._known

    def forget(self, key_id: str) -> None:
        """Ask again for a key, which was revoked or rotated."""
        self._forgotten += 1
        for digest, known in list(self._known.items()):
            if known.principal.key_id == key_id:
                self._known.pop(digest, None)

    def _look_up(self, text: str) -> Principal | None:
        with self._database.read() as session:
            return authenticate(session, text, self._server_secret)

    def _note(self, key_id: str) -> None:
        """Have the use written down. Nobody waits for that, and a database that is away costs no answer."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -_USE_NOTED_EVERY_S) >= _USE_NOTED_EVERY_S:
            if len(self._noted) >= _MOST:
                self._noted.clear()
            self._noted[key_id] = now
            self._journal.enter(lambda session: note_use(session, key_id))
