"""Routes under /v1/uploads."""

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Submitter
from api.contract import bytes_body, problems_of
from api.dependencies import Here
from api.ids import UploadId
from api.problems import StateForbids
from api.uploads import service, tus
from api.uploads.schemas import UploadView, upload_view

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_SPEAKS_TUS = [Depends(tus.speaks_tus)]


@router.options("", include_in_schema=False)
def options(here: Here) -> Response:
    """What of tus is spoken here."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": tus.VERSION,
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(service.largest(here)),
        },
    )


@router.post(
    "",
    status_code=201,
    dependencies=_SPEAKS_TUS,
    responses=problems_of(400, 412, 413),
    summary="Begin an upload in parts",
)
def post(here: Here, caller: Submitter, length: tus.Length, metadata: tus.Metadata, response: Response) -> UploadView:
    """Make room for a file of so many bytes. Its bytes come with PATCH to the address in `Location`."""
    state = service.begin(here, caller, tus.filename_of(metadata), int(length))
    tus.describe(response, state)
    response.headers["Location"] = f"/v1/uploads/{state.id}"
    return upload_view(state)


@router.get("/{upload_id}", summary="Look at an upload")
@router.head("/{upload_id}", include_in_schema=False)
def get_one(here: Here, caller: Submitter, upload_id: UploadId, response: Response) -> UploadView:
    """How much of it has come, and its sha256 once it is whole. HEAD says so in tus' headers alone."""
    state = service.look(here, caller, upload_id)
    tus.describe(response, state)
    return upload_view(state)


@router.patch(
    "/{upload_id}",
    status_code=204,
    dependencies=_SPEAKS_TUS,
    openapi_extra=bytes_body(tus.BODY),
    responses=problems_of(409, 412),
    summary="Add to an upload",
)
async def patch(here: Here, caller: Submitter, upload_id: UploadId, offset: tus.Offset, request: Request) -> Response:
    """Add the body at the end of what has come; if the connection breaks, what has come is kept."""
    tus.require_body(request)
    state = await run_in_threadpool(service.look, here, caller, upload_id)
    if int(offset) != state.offset:
        raise StateForbids(
            f"The upload has {state.offset:,} bytes, not {int(offset):,}. HEAD says where to go on.",
            headers={"Upload-Offset": str(state.offset)},
        )
    if state.sha256 is None:
        state = await service.add(here, caller, state, request.stream())
    else:
        await service.require_end(state, request.stream())
    response = Response(status_code=204)
    tus.describe(response, state)
    return response


@router.delete(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    dependencies=_SPEAKS_TUS,
    responses=problems_of(412),
    summary="Drop an upload",
)
def delete(here: Here, caller: Submitter, upload_id: UploadId, response: Response) -> None:
    """Remove what has come. A dataset or model that was made of it stays."""
    response.headers["Tus-Resumable"] = tus.VERSION
    service.end(here, caller, upload_id)
