"""What the client says it returns is what /openapi.json says comes: the same fields, of the same types."""

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from api.app import create_app
from secateur import resources, webhook_resources
from store.settings import Settings

#: The schema of each resource, where it is not called like it.
_SCHEMAS = {
    "JobError": "ErrorView",
    "ModelFile": "FileView",
    "AuditEntry": "AuditView",
    "UsedOnDay": "DayView",
    "Checks": "Checks",
    "Health": "Readiness",
}
#: What the document leaves open, because methods and tasks say different things in it.
_LEFT_OPEN = {"Result", "Densities", "Export", "ExportLatency", "ExportTiming"}

ALL = vars(resources) | vars(webhook_resources)
RESOURCES = {name: each for name, each in ALL.items() if is_typeddict(each) and name not in _LEFT_OPEN}
_OF_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """Every schema that the service describes itself by."""
    file = tmp_path_factory.mktemp("resources") / "unused.db"
    found: Schema = create_app(Settings(database_url=f"sqlite:///{file}")).openapi()["components"]["schemas"]
    return found


def name_of(resource: type) -> str:
    return _SCHEMAS.get(resource.__name__, f"{resource.__name__}View")


def agree(said: Any, schema: Schema, schemas: Schema) -> bool:
    """Whether a type that the client names is what a schema allows; `object` is said where anything may come."""
    if said is object or schema == {}:
        return said is object
    if is_typeddict(said):
        return said.__name__ in _LEFT_OPEN or bool(schema.get("$ref", "").endswith(f"/{name_of(said)}"))
    if "$ref" in schema:
        return agree(said, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    origin, arguments = get_origin(said), get_args(said)
    if origin in (Union, types.UnionType):
        options = schema.get("anyOf", [])
        found = [any(agree(each, option, schemas) for option in options) for each in arguments]
        return len(options) == len(arguments) and all(found)
    match origin:
        case _ if origin is Literal:
            fits = set(arguments) == set(schema.get("enum", [schema.get("const")]))
        case _ if origin is list:
            fits = schema.get("type") == "array" and agree(arguments[0], schema["items"], schemas)
        case _ if origin is tuple:
            items = schema.get("prefixItems", [])
            fits = len(items) == len(arguments) and all(map(agree, arguments, items, [schemas] * len(items)))
        case _ if origin is dict:
            fits = schema.get("type") == "object" and _values_agree(arguments[1], schema, schemas)
        case _:
            fits = schema.get("type") == _OF_TYPES[said] and "enum" not in schema
    return fits


def _values_agree(said: Any, schema: Schema, schemas: Schema) -> bool:
    values = list(schema.get("properties", {}).values())
    if not values:
        more = schema.get("additionalProperties", True)
        values = [{} if more is True else more]
    return all(said is object or agree(said, each, schemas) for each in values)


@pytest.mark.parametrize("name", RESOURCES)
def test_a_resource_has_the_fields_and_types_that_come(name: str, schemas: Schema) -> None:
    resource = RESOURCES[name]
    schema = schemas[name_of(resource)]
    said = get_type_hints(resource)
    assert said.keys() == schema["properties"].keys()
    wrong = [
        f"{field}: {type_} is not {schema['properties'][field]}"
        for field, type_ in said.items()
        if not agree(type_, schema["properties"][field], schemas)
    ]
    assert wrong == []


def test_the_points_of_a_curve_are_as_they_come(schemas: Schema) -> None:
    assert agree(resources.Series, schemas["MetricsView"]["properties"]["series"], schemas)
