"""Routes under /v1/models."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.auth import Reader, Submitter
from api.contract import file_part, multipart_body, problems_of
from api.dependencies import Here
from api.ids import ModelId
from api.models import service
from api.models.inspection import MAX_FILES
from api.models.schemas import ModelView, model_view
from api.multipart import MAX_NAME, Form, read_form
from api.paging import Cursor, Limit, Listing, listing
from api.uploads.service import with_uploads
from store import delete_model, get_model, list_models

router = APIRouter(prefix="/v1/models", tags=["models"])

_UPLOAD = multipart_body(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "description": "What you call it."},
        "files": {
            "type": "array",
            "items": file_part("One of them."),
            "minItems": 1,
            "maxItems": MAX_FILES,
            "description": "The directory's files, each a part of this name: config.json, tokenizer, *.safetensors.",
        },
    },
    required=["name", "files"],
)


async def uploaded(request: Request, here: Here, _: Submitter) -> AsyncIterator[Form]:
    """The request's form; the key is checked before a byte of the body is read."""
    async with read_form(request, here.settings.max_model_bytes, max_files=MAX_FILES) as form:
        yield form


@router.post("", status_code=201, openapi_extra=_UPLOAD, summary="Upload a model")
def post(here: Here, caller: Submitter, form: Annotated[Form, Depends(uploaded)], response: Response) -> ModelView:
    """Take in the files of a Hugging Face directory: configuration, tokenizer and safetensors weights.

    Pickles, archives, code and paths are refused; weights and tokenizer must fit the configuration. What is refused
    leaves nothing behind.
    """
    with with_uploads(here, caller, form, here.settings.max_model_bytes) as whole:
        model = service.take_in(here, caller, whole)
    response.headers["Location"] = f"/v1/models/{model.id}"
    return model_view(model)


@router.get("", summary="List models")
def get_list(here: Here, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Listing[ModelView]:
    """The team's models, newest first."""
    with here.database.read() as session:
        return listing(list_models(session, caller.team_id, limit=limit, cursor=cursor), model_view)


@router.get("/{model_id}", summary="Look at a model")
def get_one(here: Here, caller: Reader, model_id: ModelId) -> ModelView:
    """Family, sizes, files and the matrices that a job may prune."""
    with here.database.read() as session:
        return model_view(get_model(session, caller.team_id, model_id))


@router.delete(
    "/{model_id}", status_code=204, response_class=Response, responses=problems_of(409), summary="Delete a model"
)
def delete(here: Here, caller: Submitter, model_id: ModelId) -> None:
    """Remove it and its files. Not while an unfinished job uses it; jobs that have ended stay."""
    with here.database.write() as session:
        delete_model(session, caller.team_id, model_id)
