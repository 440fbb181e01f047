"""The HTTP service, put together: `uvicorn api.app:create_app --factory`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from api import answers, compare, contract, headers, health, logs, methods, metrics, report_schema, usage
from api.audit import endpoints as audit
from api.audit.trail import AuditTrail
from api.bell import Bell
from api.datasets import endpoints as datasets
from api.dependencies import Services
from api.hub import endpoints as hub
from api.jobs import endpoints as jobs
from api.jobs import record
from api.jobs.direct import Direct
from api.jobs.shelf import Shelf
from api.jobs.spec import JobSpec
from api.journal import Journal
from api.keyring import Keyring
from api.keys import endpoints as keys
from api.keys.schemas import NewKey, Rotation
from api.looks import Looks
from api.meters import Meters
from api.models import endpoints as models
from api.patience import Patience
from api.protocol import STOPPING
from api.rate_headers import RateLimitHeaders
from api.sources.fetches import Fetches
from api.submissions import Submissions
from api.sweeps import endpoints as sweeps
from api.sweeps.grid import SweepSpec
from api.uploads import endpoints as uploads
from api.watch import Watch
from api.webhooks import endpoints as webhooks
from api.webhooks.schemas import NewWebhook, SecretRotation, WebhookChange
from store import DatabaseBlobStore, Settings, open_database

if TYPE_CHECKING:
    from api.rates import Rates

_ABOUT = """Submit a model, a dataset, a method and a target sparsity; poll; download a checkpoint that stock
`transformers` loads. Errors are RFC 9457 problems: each says what is wrong, where, and what to do."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the service; it starts whether or not database and broker are there yet.

    Args:
        settings: default: from the environment, `SECATEUR_…`.
    """
    settings = settings or Settings()
    logs.configure()
    database = open_database(settings.database_url, isolated=True)
    journal = Journal(database)
    rates = _rates(settings)
    blobs = DatabaseBlobStore(database)
    services = Services(
        settings,
        database,
        blobs,
        Bell(settings.broker_url),
        Watch(database),
        Looks(database, settings.team_max_running),
        Meters(database),
        journal,
        Shelf(blobs),
        Submissions(database, settings.team_max_queued, settings.team_max_running),
        Keyring(database, journal, settings.plain_server_secret),
        rates,
        Fetches(settings.fetch_wait_s),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        # What is there now stays. To look for garbage among it again and again would stop all requests for up to a
        # tenth of a second each time.
        gc.freeze()
        yield {STOPPING: services.watch.stop}
        gc.unfreeze()
        services.bell.close()
        services.fetches.close()
        if rates is not None:
            await rates.close()
        services.submissions.close()
        services.journal.close()
        database.close()

    app = FastAPIOffline(  # /docs as FastAPI's own, without what that loads from the internet
        title="Secateur",
        description=_ABOUT,
        version=_version(),
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        generate_unique_id_function=contract.operation_id,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.services = services
    app.add_middleware(Patience)
    app.add_middleware(AuditTrail, journal=journal)
    app.add_middleware(Direct, journal=journal)
    if rates is not None:
        app.add_middleware(RateLimitHeaders)
    app.add_middleware(logs.RequestLog, meters=services.meters)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=headers.CORS_REQUEST_HEADERS,
            expose_headers=headers.CORS_ANSWER_HEADERS,
        )
    app.add_middleware(headers.SecurityHeaders, hsts_s=settings.hsts_s)
    parts = (
        jobs,
        record,
        sweeps,
        compare,
        datasets,
        models,
        uploads,
        methods,
        report_schema,
        webhooks,
        keys,
        audit,
        usage,
        hub,
        health,
        metrics,
    )
    # As routes of the app's own: of an included router FastAPI tries each route twice for every request.
    app.router.routes[:0] = [route for part in parts for route in part.router.routes]
    answers.install(app)
    contract.install(app, JobSpec, SweepSpec, NewKey, Rotation, NewWebhook, WebhookChange, SecretRotation)
    return app


def _rates(settings: Settings) -> "Rates | None":
    if settings.rate_limit is None:
        return None
    from api.rates import Rates  # late: a service without limits starts without the library

    return Rates(settings.rate_limit, settings.broker_url)


def _version() -> str:
    try:
        return version("secateur")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
