"""Routes under /v1/keys."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Admin
from api.bodies import JsonBody, OptionalJsonBody
from api.contract import json_body, problems_of
from api.dependencies import Here
from api.fields import fields_of
from api.ids import KeyId
from api.keys.schemas import KeyView, NewKey, NewKeyView, Rotation, key_view, new_key_view
from api.paging import Cursor, Limit, Listing, listing
from store import create_key, get_key, list_keys, revoke_key, rotate_key

router = APIRouter(prefix="/v1/keys", tags=["keys"])

_NEW = json_body(NewKey)
_ROTATION = json_body(Rotation, required=False)


@router.post("", status_code=201, openapi_extra=_NEW, summary="Create a key")
def post(here: Here, caller: Admin, body: JsonBody, response: Response) -> NewKeyView:
    """Make a key for your team. The answer holds it in the clear, this once; only a hash is kept."""
    new = fields_of(body, NewKey)
    with here.database.write() as session:
        made = create_key(
            session,
            caller.team_id,
            new.name,
            set(new.scopes),
            expires_in_s=new.expires_in_s,
            server_secret=here.settings.plain_server_secret,
        )
    return _shown_once(new_key_view(made), response)


@router.get("", summary="List keys")
def get_list(
    here: Here,
    caller: Admin,
    *,
    revoked: Annotated[bool, Query(description="Those that were revoked instead.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listing[KeyView]:
    """The team's keys, newest first, without their secrets."""
    with here.database.read() as session:
        page = list_keys(session, caller.team_id, revoked=revoked, limit=limit, cursor=cursor)
    return listing(page, key_view)


@router.get("/{key_id}", summary="Look at a key")
def get_one(here: Here, caller: Admin, key_id: KeyId) -> KeyView:
    """What the key is for, what it allows, and when it was last used; also of one that was revoked."""
    with here.database.read() as session:
        return key_view(get_key(session, caller.team_id, key_id))


@router.delete("/{key_id}", status_code=204, response_class=Response, summary="Revoke a key")
def delete(here: Here, caller: Admin, key_id: KeyId) -> None:
    """End the key, its open streams and long polls. Other API processes honour it for two seconds at most."""
    with here.database.write() as session:
        revoke_key(session, caller.team_id, key_id)
    here.keyring.forget(key_id)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    openapi_extra=_ROTATION,
    responses=problems_of(409),
    summary="Rotate a key",
)
def rotate(here: Here, caller: Admin, key_id: KeyId, body: OptionalJsonBody, response: Response) -> NewKeyView:
    """Make a key of the same name, scopes and life that takes this one's place.

    The old one ends at once, or after `overlap_s`.
    """
    rotation = fields_of(body, Rotation)
    with here.database.write() as session:
        made = rotate_key(
            session,
            caller.team_id,
            key_id,
            overlap_s=rotation.overlap_s,
            server_secret=here.settings.plain_server_secret,
        )
    here.keyring.forget(key_id)
    return _shown_once(new_key_view(made), response)


def _shown_once(view: NewKeyView, response: Response) -> NewKeyView:
    response.headers.update({"Location": view.url, "Cache-Control": "no-store"})
    return view
