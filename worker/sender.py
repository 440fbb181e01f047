"""Sends what waits for webhooks: a thread of the reconciler that looks every second, and some that send.

Any number of reconcilers may do so; a try is claimed by one of them (`store.deliveries`).
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import structlog

from store import (
    DATABASE_AWAY,
    Allowed,
    Claimed,
    Database,
    Outcome,
    Settings,
    WrongServerSecret,
    claim_try,
    due_deliveries,
    finish_try,
    live_secrets,
)
from worker.posting import Postman

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""How often it looks for what is due, in seconds, while no hand becomes free."""

_PAUSE_S = 0.05
"""How long it rests between two looks all the same: nothing that goes wrong at once shall keep it busy."""

SENDERS = 8
"""So many messages are on their way at once, and"""

SENDERS_OF_ONE = 2
"""so many of them to one webhook: a slow receiver holds up its own."""

_LEASE_MARGIN_S = 30.0
"""How much longer than its request a claim is good, in seconds: time to write down what came of it."""


class Sender:
    """Sends messages as they become due, until it is closed."""

    def __init__(self, database: Database, settings: Settings, postman: Postman | None = None) -> None:
        """Prepare to send; `start` begins, or each `look` does one round."""
        self._database = database
        self._server_secret = settings.plain_server_secret
        self._lease_s = settings.webhook_timeout_s + _LEASE_MARGIN_S
        self._postman = postman or Postman(Allowed.read(settings.webhook_allow), settings.webhook_timeout_s)
        self._pool = ThreadPoolExecutor(SENDERS, "webhooks")
        self._under_way: dict[str, tuple[str, Future[None]]] = {}  # by message: its webhook, its end
        self._stop = threading.Event()
        self._hand_free = threading.Event()
        self._looking = threading.Thread(target=self._look_always, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._hand_free.set()
        self._looking.join()
        self.close()

    def close(self) -> None:
        """Wait for what is on its way."""
        self._pool.shutdown(cancel_futures=True)

    def send_due(self) -> None:
        """Send all that is due now, and return when it is done."""
        while self.look():
            for _, end in list(self._under_way.values()):
                end.result()

    def look(self) -> int:
        """Begin to send what is due, as far as there are hands; say how many messages are on their way."""
        self._under_way = {id_: each for id_, each in self._under_way.items() if not each[1].done()}
        with self._database.read() as session:
            due = due_deliveries(session, at_once=SENDERS_OF_ONE)
        for id_, webhook_id in due:
            busy = [webhook for webhook, _ in self._under_way.values()]
            if len(busy) < SENDERS and busy.count(webhook_id) < SENDERS_OF_ONE and id_ not in self._under_way:
                end = self._pool.submit(self._send, id_)
                end.add_done_callback(lambda _: self._hand_free.set())
                self._under_way[id_] = webhook_id, end
        return len(self._under_way)

    def _look_always(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            self._hand_free.wait(LOOK_S)
            self._hand_free.clear()
            try:
                self.look()
            except DATABASE_AWAY as error:
                log.warning("database_away", error=str(error.__cause__ or error))
            except Exception as error:  # noqa: BLE001 - nobody restarts a thread; the next look may fare better
                log.error("webhooks_look_broke", kind=type(error).__name__)

    def _send(self, delivery_id: str) -> None:
        """Make the next try of a message. Whatever fails here, its claim ends by itself."""
        try:
            with self._database.write() as session:
                claimed = claim_try(session, delivery_id, self._lease_s)
            if claimed is None:
                return
            outcome = self._outcome(claimed)
            with self._database.write() as session:
                status = finish_try(session, claimed, outcome)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=str(error.__cause__ or error))
        except Exception as error:
            log.error("webhook_not_noted", message=delivery_id, kind=type(error).__name__)
            raise
        else:
            log.info(
                "webhook_tried",
                message=claimed.id,
                webhook=claimed.webhook_id,
                number=claimed.number,
                answer=outcome.status,
                status=status,
            )

    def _outcome(self, claimed: Claimed) -> Outcome:
        try:
            with self._database.read() as session:
                secrets = live_secrets(session, claimed.webhook_id, self._server_secret)
        except WrongServerSecret as error:
            log.error("webhook_secret_unusable", webhook=claimed.webhook_id)
            return Outcome(error=f"Not sent: {error}")
        try:
            return self._postman.send(claimed, secrets)
        except Exception as error:  # noqa: BLE001 - whatever breaks counts as a try, or there would be no end of them
            # Its words stay out of the log and the answer: they may quote what was sent.
            log.error("webhook_try_broke", message=claimed.id, kind=type(error).__name__)
            return Outcome(error=f"The sender broke ({type(error).__name__}); the operator's log has more.")
