"""What OpenAPI says beyond what FastAPI reads from signatures."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.problems import MEDIA_TYPE, ProblemDocument

# OpenAPI fragments are free-form JSON that FastAPI itself types as dict[str, Any].
Fragment = dict[str, Any]

_REF = "#/components/schemas/{model}"


def problems_of(*statuses: int) -> dict[int | str, Fragment]:
    """The `responses` of a route for the problems that it answers with."""
    schema = {"$ref": _REF.format(model=ProblemDocument.__name__)}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def json_body(model: type[BaseModel], example: Mapping[str, object], *, required: bool = True) -> Fragment:
    """The `openapi_extra` of a route that reads its JSON itself."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}
    }


def multipart_body(properties: Fragment, *, required: list[str], more: Fragment | None = None) -> Fragment:
    """The `openapi_extra` of an upload."""
    schema: Fragment = {"type": "object", "required": required, "properties": properties}
    if more is not None:
        schema["additionalProperties"] = more
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def form_body(properties: Fragment, *, required: list[str]) -> Fragment:
    """The `openapi_extra` of a route that reads a URL-encoded form itself."""
    schema: Fragment = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


def bytes_body(media_type: str) -> Fragment:
    """The `openapi_extra` of a route that reads bytes as they come."""
    schema: Fragment = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def install(app: FastAPI, *extra: type[BaseModel]) -> None:
    """Add the schemas that only fragments refer to."""
    generate = app.openapi

    def openapi() -> Fragment:
        document = generate()
        named: list[type[BaseModel]] = [ProblemDocument, *extra]
        models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in named]
        _, definitions = models_json_schema(models, ref_template=_REF)
        document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document
