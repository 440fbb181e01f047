"""Reads a small JSON body into a model, naming every wrong field and its remedy."""

import json
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.bodies import Body, compact
from api.problems import FieldError, Invalid, pointer
from store import JsonValue

Fields = TypeVar("Fields", bound=BaseModel)


def _printable(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError("must be printable, and not only spaces")
    return name.strip()


Printable = Annotated[str, AfterValidator(_printable)]
"""A name that a terminal and a log show as it is."""


def fields_of(body: Body, model: type[Fields]) -> Fields:
    """What a body says, as a model.

    Raises:
        Invalid: Fields are missing, not known, or wrong.
    """
    try:
        # As JSON and strict: "1" is not a number and 1 is not true.
        return model.model_validate_json(json.dumps(body.document), strict=True)
    except ValidationError as error:
        found = [_explained(details, model) for details in error.errors(include_url=False)]
    raise Invalid(list({problem.pointer: problem for problem in found}.values()))


def _explained(details: ErrorDetails, model: type[BaseModel]) -> FieldError:
    name = ".".join(map(str, details["loc"]))
    message = details["msg"].removeprefix("Value error, ").rstrip(".")
    match details["type"]:
        case "extra_forbidden":
            words = f"{name} is not known here. Known: {', '.join(model.model_fields)}."
        case "missing":
            words = f"{name} is missing. Give it."
        case "value_error":
            words = f"{name}: {message}."
        case _:
            given: JsonValue = details["input"]
            words = f"{name}: {message[:1].lower()}{message[1:]}, not {compact(given)}."
    return FieldError(pointer(*details["loc"]), words)
