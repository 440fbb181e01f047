"""What endpoints are given: the process's services, and who is calling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from api.bell import Bell
from api.journal import Journal
from api.keyring import Keyring
from api.meters import Meters
from api.sources.fetches import Fetches
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
    meters: Meters
    journal: Journal
    keyring: Keyring
    rates: "Rates | None"  # None: keys may ask as often as they like
    fetches: Fetches


def services_of(request: Request) -> Services:
    """The services of the app that serves this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Here = Annotated[Services, Depends(services_of)]
