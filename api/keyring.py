"""The keys that were shown lately: a request with one of them asks no database."""

import asyncio
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
        self._asking: dict[bytes, asyncio.Task[_Known | None]] = {}

    async def principal(self, text: str) -> Principal | None:
        """Who a key speaks for; None if it is mistyped, unknown, wrong, revoked or expired."""
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest)
        age_s = KNOWN_S if known is None else time.monotonic() - known.at
        if age_s >= KNOWN_S:
            known = await asyncio.shield(self._ask(digest, text))
        elif age_s >= KNOWN_S / 2:  # in good time, so that nobody has to wait for it
            self._ask(digest, text)
        if known is None:
            return None
        self._note(known.principal.key_id)
        return known.principal

    def has_met(self, text: str) -> bool:
        """Whether a key was good when it was last shown here; asks nobody."""
        return hashlib.sha256(text.encode()).digest() in self._known

    def forget(self, key_id: str) -> None:
        """Ask again for a key, which was revoked or rotated."""
        self._asking.clear()  # what is found out now may be from before
        for digest, known in list(self._known.items()):
            if known.principal.key_id == key_id:
                self._known.pop(digest, None)

    def _ask(self, digest: bytes, text: str) -> "asyncio.Task[_Known | None]":
        """Have the database asked, once for all who show a key meanwhile."""
        if (asking := self._asking.get(digest)) is None:
            asking = self._asking[digest] = asyncio.create_task(self._find_out(digest, text))
            asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # perhaps nobody waits
        return asking

    async def _find_out(self, digest: bytes, text: str) -> _Known | None:
        asked_at = time.monotonic()
        try:
            principal = await run_in_threadpool(self._look_up, text)
            found = None if principal is None else _Known(principal, asked_at)
            if self._is_asking(digest):
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known.pop(digest, None)
                if found is not None:
                    self._known[digest] = found
            return found
        finally:
            if self._is_asking(digest):
                del self._asking[digest]

    def _is_asking(self, digest: bytes) -> bool:
        """Whether it is the running task that asks for a key, which none has been told to forget since."""
        return self._asking.get(digest) is asyncio.current_task()

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
