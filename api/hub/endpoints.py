"""Routes under /hf: what `huggingface_hub` and all that is built on it ask of a hub in order to download.

With `HF_ENDPOINT=<service>/hf` and a key as token. Which requests those are: huggingface_hub's file_download.py,
_snapshot_download.py and hf_api.py.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.auth import Reader
from api.bodies import FormBody
from api.conditional import file_response
from api.contract import file_of, form_body, problems_of
from api.dependencies import Here, Services
from api.hub.refusals import HubRoute
from api.hub.repositories import MAIN, Kind, Repository, find_repository, no_such
from api.hub.views import RepositoryView, TreeEntryView, paths_view, repository_view, tree_view
from store import Principal

router = APIRouter(prefix="/hf", tags=["hub"], responses=problems_of(410), route_class=HubRoute)


def find(here: Here, caller: Reader, kind: Kind, namespace: str, repository: str) -> Repository:
    """The team's repository that a path names.

    Raises:
        RepoNotFound: There is none.
    """
    with here.database.read() as session:
        return find_repository(session, caller.team_id, kind, namespace, repository)


def at_revision(found: Annotated[Repository, Depends(find)], revision: str) -> Repository:
    """The team's repository that a path names, which has the revision that it names.

    Raises:
        RepoNotFound: There is no such repository.
        RevisionNotFound: It has no such revision.
        RevisionGone: It had.
    """
    found.check(revision)
    return found


def of_kind(kind: Kind) -> Callable[[Services, Principal, str, str, str], Repository]:
    """The same, for paths that do not spell their kind."""

    def dependency(here: Here, caller: Reader, namespace: str, repository: str, revision: str) -> Repository:
        return at_revision(find(here, caller, kind, namespace, repository), revision)

    return dependency


Found = Annotated[Repository, Depends(find)]
AtRevision = Annotated[Repository, Depends(at_revision)]
ModelAtRevision = Annotated[Repository, Depends(of_kind(Kind.MODELS))]
DatasetAtRevision = Annotated[Repository, Depends(of_kind(Kind.DATASETS))]
Blobs = Annotated[bool, Query(description="Also what each file is.")]
Recursive = Annotated[bool, Query(description="With all below.")]

_FILE = {200: file_of("*/*"), **problems_of(416)}


@router.get("/api/{kind}/{namespace}/{repository}", summary="Look at a repository")
def get_repository(found: Found, *, blobs: Blobs = False) -> RepositoryView:
    """The repository at its only revision."""
    return get_revision(at_revision(found, MAIN), blobs=blobs)


@router.get("/api/{kind}/{namespace}/{repository}/revision/{revision}", summary="Look at a revision")
def get_revision(found: AtRevision, *, blobs: Blobs = False) -> RepositoryView:
    """The repository at `main` or its commit, which are one."""
    return repository_view(found, blobs=blobs)


@router.get(
    "/api/{kind}/{namespace}/{repository}/tree/{revision}",
    response_model_exclude_none=True,
    summary="List a repository",
)
def get_tree(found: AtRevision, *, recursive: Recursive = False) -> list[TreeEntryView]:
    """Its files and folders."""
    return tree_view(found, "", recursive=recursive)


@router.get(
    "/api/{kind}/{namespace}/{repository}/tree/{revision}/{path:path}",
    response_model_exclude_none=True,
    summary="List a folder",
)
def get_folder(found: AtRevision, path: str, *, recursive: Recursive = False) -> list[TreeEntryView]:
    """The files and folders in a folder of a repository."""
    return tree_view(found, path, recursive=recursive)


@router.post(
    "/api/{kind}/{namespace}/{repository}/paths-info/{revision}",
    openapi_extra=form_body({"paths": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}}),
    response_model_exclude_none=True,
    summary="Look at some paths",
)
def post_paths(found: AtRevision, form: FormBody) -> list[TreeEntryView]:
    """Those of the given files and folders that there are; a POST only because they may be many."""
    return paths_view(found, form.get("paths", []))


@router.head("/datasets/{namespace}/{repository}/resolve/{revision}/{path:path}", include_in_schema=False)
@router.get(
    "/datasets/{namespace}/{repository}/resolve/{revision}/{path:path}",
    responses=_FILE,
    response_class=Response,
    summary="Download a file of a dataset",
)
def get_dataset_file(here: Here, found: DatasetAtRevision, path: str, request: Request) -> Response:
    """Stream one split's Parquet file; ranges and conditions as with artifacts."""
    return _file(here, found, path, request)


@router.head("/{namespace}/{repository}/resolve/{revision}/{path:path}", include_in_schema=False)
@router.get(
    "/{namespace}/{repository}/resolve/{revision}/{path:path}",
    responses=_FILE,
    response_class=Response,
    summary="Download a file of a model",
)
def get_model_file(here: Here, found: ModelAtRevision, path: str, request: Request) -> Response:
    """Stream one file; ranges and conditions as with artifacts."""
    return _file(here, found, path, request)


@router.get("/api/{kind}/{name}", include_in_schema=False)
@router.get("/api/{kind}/{name}/revision/{revision}", include_in_schema=False)
@router.get("/api/{kind}/{name}/tree/{revision}", include_in_schema=False)
@router.head("/{name}/resolve/{revision}/{path:path}", include_in_schema=False)
@router.get("/{name}/resolve/{revision}/{path:path}", include_in_schema=False)
def get_without_namespace(caller: Reader, name: str, kind: Kind = Kind.MODELS) -> Response:
    """What has no namespace is on other hubs, such as `gpt2`: clients must hear that it is not here."""
    raise no_such(kind, name)


def _file(here: Services, found: Repository, path: str, request: Request) -> Response:
    file = found.file(path)
    response = file_response(request, here.blobs, file)
    response.headers["X-Repo-Commit"] = found.commit
    response.headers["X-Linked-Etag"] = f'"{file.sha256}"'
    response.headers["X-Linked-Size"] = str(file.size)
    return response
