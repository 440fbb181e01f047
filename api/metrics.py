"""GET /metrics: figures of this process and of the whole service, in the text format that Prometheus scrapes.

Nothing in it tells teams, jobs or keys apart, so it needs no key; keep it off the public network all the same.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from api.dependencies import Here

router = APIRouter(tags=["health"])

_MEDIA_TYPES = ("text/plain", "application/openmetrics-text")


@router.get(
    "/metrics",
    responses={200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES}}},
    response_class=Response,
    summary="Figures for Prometheus",
)
def metrics(here: Here, request: Request) -> Response:
    """Counters of this process, and the state of all jobs as the database has it.

    Text format 0.0.4 or OpenMetrics, as `Accept` asks. Figures of the process are of one API process: scrape each
    replica, and let Prometheus add them up.
    """
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(here.meters.registry), headers={"Content-Type": content_type})
