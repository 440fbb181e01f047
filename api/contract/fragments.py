"""Pieces of OpenAPI that a route gives, where its signature does not tell."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

# OpenAPI fragments are free-form JSON that FastAPI itself types as dict[str, Any].
Fragment = dict[str, Any]

SCHEMAS = "#/components/schemas/"


def problems_of(*statuses: int) -> dict[int | str, Fragment]:
    """The `responses` of a route for the problems that do not follow from its shape (`api.contract.problems`)."""
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}


def json_body(model: type[BaseModel], *, required: bool = True) -> Fragment:
    """The `openapi_extra` of a route that reads its JSON itself."""
    schema = {"$ref": f"{SCHEMAS}{model.__name__}"}
    return _body("application/json", schema, required=required)


def multipart_body(properties: Fragment, *, required: list[str], more: Fragment | None = None) -> Fragment:
    """The `openapi_extra` of an upload; `more` is what further fields are, and without it there are none."""
    schema: Fragment = {"type": "object", "required": required, "properties": properties}
    schema["additionalProperties"] = more if more is not None else False
    return _body("multipart/form-data", schema)


def file_part(description: str) -> Fragment:
    """A field of an upload that takes a file, or the id of one that came in parts (`api.uploads`)."""
    upload = {"type": "string", "pattern": "^upl_[0-9a-f]{32}$", "description": "The id of an upload in parts."}
    return {"description": description, "anyOf": [upload, {"type": "string", "format": "binary"}]}


def form_body(properties: Fragment) -> Fragment:
    """The `openapi_extra` of a route that reads a URL-encoded form itself, in which nothing needs to be."""
    schema: Fragment = {"type": "object", "properties": properties}
    return _body("application/x-www-form-urlencoded", schema, required=False)


def bytes_body(media_type: str) -> Fragment:
    """The `openapi_extra` of a route that reads bytes as they come."""
    return _body(media_type, {"type": "string", "format": "binary"})


def file_of(media_type: str) -> Fragment:
    """The response of a route that sends a file."""
    return {"content": {media_type: {"schema": {}}}}


def _body(media_type: str, schema: Fragment, *, required: bool = True) -> Fragment:
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema}}}}
