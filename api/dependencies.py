"""What endpoints are given: the process's services, and who is calling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from api.bell import Bell
from api.jobs.shelf import Shelf
from api.journal import Journal
from api.keyring import Keyring
from api.looks import Looks
from api.meters import Meters
from api.sources.fetches import Fetches
from api.submissions import Submissions
from api.watch import Watch
from store.blobs import BlobStore
from store.engine import Database
from store.settings import Settings

if TYPE_CHECKING:
    from api.rates import Rates


@dataclass(frozen=True)
class Services:
    """What one API process holds open, made by `create_app`."""

    settings: Settings
    database: Database
    blobs: BlobStore
    bell: Bell
    watch: Watch
    looks: Looks
    meters: Meters
    journal: Journal
    shelf: Shelf
    submissions: Submissions
    keyring: Keyring
    rates: "Rates | None"  # None: keys may ask as often as they like
    fetches: Fetches


def services_of(request: Request) -> Services:
    """The services of the app that serves this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def _here(request: Request) -> Services:  # FastAPI would call it in a thread if it were not async
    return services_of(request)


Here = Annotated[Services, Depends(_here)]
