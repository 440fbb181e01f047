"""Lets the API know what workers offer: a submit is told at once when it asks for more than any of them has."""

import signal
import threading
import time

import structlog

from store import DATABASE_AWAY, Settings, announce_worker, open_database
from worker.devices import devices_of

log = structlog.get_logger(__name__)

_EVERY_S = 300.0
#: After a try that did not come through.
_AGAIN_S = 15.0


def announce_always(settings: Settings) -> None:
    """Write down what this worker offers, now and every five minutes for as long as this process lives."""
    threading.Thread(target=_announce_always, args=(settings,), name="announcing", daemon=True).start()


def _announce_always(settings: Settings) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # a stop must wake the thread that works
    while True:
        time.sleep(_EVERY_S if _announced(settings) else _AGAIN_S)


def _announced(settings: Settings) -> bool:
    """Whether it came through; in a connection that is closed at once: it is needed rarely."""
    offered = devices_of(settings.worker_gpus).offered
    database = open_database(settings.database_url)
    try:
        with database.write() as session:
            announce_worker(session, settings.worker_name, offered)
    except DATABASE_AWAY as error:
        log.warning("database_away", error=str(error.__cause__ or error))
        return False
    except Exception:  # such as a schema that is behind: advice is all that is lost meanwhile
        log.exception("not_announced")
        return False
    finally:
        database.close()
    return True
