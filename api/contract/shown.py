"""Examples of requests and answers: those in `examples/`, by model and by route, put where a model or route stands."""

import json
from functools import cache
from importlib.resources import files

from api.contract.fragments import SCHEMAS, Fragment

_LIST = "Listing_"


@cache
def examples() -> Fragment:
    """All of `examples/`: `models` by schema, `routes` by method and path, `parameters` by name."""
    found: Fragment = {"models": {}, "routes": {}, "parameters": {}}
    for file in files("api.contract").joinpath("examples").iterdir():
        for part, content in json.loads(file.read_text(encoding="utf-8")).items():
            found[part].update(content)
    return found


def add_examples(name: str, operation: Fragment) -> None:
    """Give an operation's body, its answers and its required parameters their examples; what has none stays without."""
    of_route = examples()["routes"].get(name, {})
    of_parameters = examples()["parameters"] | of_route.get("parameters", {})
    for parameter in operation.get("parameters", []):
        if parameter["required"]:
            _show(parameter, of_parameters.get(parameter["name"]))
    for body in [operation.get("requestBody", {}), *operation["responses"].values()]:
        for media_type, media in body.get("content", {}).items():
            _show(media, of_route.get(media_type) or _of_schema(media["schema"]))


def _show(where: Fragment, example: object) -> None:
    if example is not None:
        where["example"] = example


def _of_schema(schema: Fragment) -> object:
    if schema.get("type") == "array":
        entry = _of_schema(schema["items"])
        return entry and [entry]
    model: str = schema.get("$ref", "").removeprefix(SCHEMAS)
    if model.startswith(_LIST):
        entry = examples()["models"].get(model.removeprefix(_LIST).removesuffix("_"))
        return entry and {"data": [entry], "next_cursor": None, "has_more": False}
    return examples()["models"].get(model)
