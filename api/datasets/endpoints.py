"""Routes under /v1/datasets."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.auth import Reader, Submitter
from api.contract import file_part, multipart_body, problems_of
from api.datasets import ingest, service
from api.datasets.schemas import DatasetView, dataset_view
from api.dependencies import Here
from api.ids import DatasetId
from api.multipart import MAX_NAME, Form, read_form
from api.paging import Cursor, Limit, Listing, listing
from api.uploads.service import with_uploads
from store import delete_dataset, get_dataset, list_datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_UPLOAD = multipart_body(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "description": "What you call it."},
        "train": file_part("The split to train on."),
        "validation": file_part("The split to evaluate on."),
    },
    required=["name", "train"],
    more=file_part("More splits, each under its own name."),
)


async def uploaded(request: Request, here: Here, _: Submitter) -> AsyncIterator[Form]:
    """The request's form; the key is checked before a byte of the body is read."""
    async with read_form(request, here.settings.max_dataset_bytes, max_files=ingest.MAX_SPLITS) as form:
        yield form


@router.post("", status_code=201, openapi_extra=_UPLOAD, summary="Upload a dataset")
def post(here: Here, caller: Submitter, form: Annotated[Form, Depends(uploaded)], response: Response) -> DatasetView:
    """Take in one file per split: CSV, TSV, JSON lines, Parquet or SQuAD JSON, all of one format.

    Types are inferred over all splits together; an empty CSV cell is null. A malformed file is refused with its line
    and the reason, and then nothing is stored.
    """
    with with_uploads(here, caller, form, here.settings.max_dataset_bytes) as whole:
        dataset = service.take_in(here, caller, whole)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset_view(dataset)


@router.get("", summary="List datasets")
def get_list(here: Here, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Listing[DatasetView]:
    """The team's datasets, newest first."""
    with here.database.read() as session:
        return listing(list_datasets(session, caller.team_id, limit=limit, cursor=cursor), dataset_view)


@router.get("/{dataset_id}", summary="Look at a dataset")
def get_one(here: Here, caller: Reader, dataset_id: DatasetId) -> DatasetView:
    """Columns, splits, label candidates and the first rows."""
    with here.database.read() as session:
        return dataset_view(get_dataset(session, caller.team_id, dataset_id))


@router.delete(
    "/{dataset_id}", status_code=204, response_class=Response, responses=problems_of(409), summary="Delete a dataset"
)
def delete(here: Here, caller: Submitter, dataset_id: DatasetId) -> None:
    """Remove it and its files. Not while an unfinished job uses it; jobs that have ended stay."""
    with here.database.write() as session:
        delete_dataset(session, caller.team_id, dataset_id)
