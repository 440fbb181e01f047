"""Puts the document together: FastAPI's, completed operation by operation."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.contract.fragments import SCHEMAS, Fragment
from api.contract.headers import add_headers
from api.contract.links import add_links
from api.contract.problems import add_problems, components
from api.contract.shown import add_examples
from api.problems import ProblemDocument

#: FastAPI's form of a refusal, which ours replaces.
_FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")

TAGS = {
    "jobs": "Submit, watch, steer, compare; fetch what came of it.",
    "sweeps": "A job for every combination of a grid.",
    "datasets": "What jobs train on.",
    "models": "What jobs prune.",
    "uploads": "Large files in parts (tus 1.0.0).",
    "methods": "How jobs prune.",
    "webhooks": "URLs that are told of jobs.",
    "keys": "Who may ask what.",
    "audit": "Who changed what.",
    "usage": "What a team has used.",
    "hub": "What the Hugging Face Hub's clients ask in order to download.",
    "health": "For those who start, watch and balance the service; no key needed.",
}


def operation_id(route: APIRoute) -> str:
    """A short name for generated clients to call a method: `jobs_get_one`."""
    return "_".join([*map(str, route.tags[:1]), route.name])


def install(app: FastAPI, *bodies: type[BaseModel]) -> None:
    """Have the app describe itself whole; `bodies` are the models that only fragments refer to."""
    generate = app.openapi

    def openapi() -> Fragment:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate(), bodies)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document


def operations(document: Fragment) -> Iterator[tuple[str, Fragment]]:
    """Every operation by its name, `GET /v1/jobs`."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def _completed(document: Fragment, bodies: tuple[type[BaseModel], ...]) -> Fragment:
    named: list[type[BaseModel]] = [ProblemDocument, *bodies]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in named]
    _, definitions = models_json_schema(models, ref_template=f"{SCHEMAS}{{model}}")
    schemas: Fragment = document["components"]["schemas"]
    schemas.update(definitions["$defs"])
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            _absent_is_not_null(parameter)
        add_headers(name, operation)
        add_problems(operation)
        add_examples(name, operation)
    add_links(document)
    for model in _FRAMEWORKS_OWN:
        schemas.pop(model, None)
    document["components"]["responses"] = components()
    document["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
    return document


def _absent_is_not_null(parameter: Fragment) -> None:
    """Take null out of a parameter's schema: None is what was left out, and nobody can write null in an address."""
    schema: Fragment = parameter["schema"]
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        schema.update(options[0])
