"""Reads a spec: every wrong field in one go, in words that say what to write instead."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import UnionType
from typing import Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.jobs.spec import FOUND_OUT, JobSpec
from api.jobs.unavailable import take_out
from api.problems import MOST_TOLD, FieldError, pointer
from pruning_core.columns import TASKS, TextClassification
from pruning_core.granularity import KINDS
from store import JsonObject, JsonValue

Path = tuple[str | int, ...]

#: Stand-ins that let the rest of a spec be checked when a required field is wrong.
_STAND_INS: dict[str, JsonValue] = {"model": "", "dataset": "", "method": "movement", "target_sparsity": 0.5}

#: What to give where a required field is missing.
_EXAMPLES: dict[Path, str] = {
    ("model",): 'Give, for example, "upload://mdl_…" as POST /v1/models answered it.',
    ("dataset",): 'Give, for example, "upload://ds_…" as POST /v1/datasets answered it.',
    ("method",): "GET /v1/methods lists them.",
    ("target_sparsity",): "Give the share of weights to remove: 0.9 for 90 %.",
}

_GRANULARITY: Path = ("pruning", "granularity")
_GRANULARITIES = ", ".join(kind for kind in KINDS if kind != "block") + ' or {"block": [rows, columns]}'

#: Checks over several fields cannot say where they failed but in their words.
_FIELD_IN_WORDS = re.compile(r"^((?:pruning|training|task|export)(?:\.\w+)+)")


@dataclass(frozen=True)
class Reading:
    """A spec as far as it can be read.

    Attributes:
        spec: with stand-ins where fields are wrong; None where too much is.
        errors: everything that is wrong with it.
        task_type: the task, where only its type is given and its columns are left to us.
        found_out: what an answer says besides, in a spec that was taken from one.
    """

    spec: JobSpec | None
    errors: list[FieldError]
    task_type: str | None = None
    found_out: JsonObject = field(default_factory=dict)


def read_spec(document: JsonObject) -> Reading:
    """Read a job's spec as the client wrote it."""
    rest, errors = take_out(document)
    found_out = {name: rest.pop(name) for name in FOUND_OUT if name in rest}
    task_type = None
    if isinstance(task := rest.get("task"), Mapping) and set(task) == {"type"} and task["type"] in TASKS:
        task_type = str(task["type"])
        del rest["task"]
    try:
        return Reading(_validated(rest), errors, task_type, found_out)
    except ValidationError as error:
        # Finding words for one takes a moment; a request can hold ten thousand.
        found = [_explained(details, rest) for details in error.errors(include_url=False)[: MOST_TOLD + 1]]
    unique = {problem.pointer: problem for _, problem in reversed(found)}
    errors += sorted(unique.values(), key=lambda problem: problem.pointer)
    for path, _ in found:
        _drop(rest, path)
    try:
        return Reading(_validated({**_STAND_INS, **rest}), errors, task_type, found_out)
    except ValidationError:
        return Reading(None, errors)


def _validated(document: JsonObject) -> JobSpec:
    # As JSON and strict: "0.9" is not a number and 1 is not true, but a list may be a tuple.
    return JobSpec.model_validate_json(json.dumps(document), strict=True)


def _explained(details: ErrorDetails, document: JsonObject) -> tuple[Path, FieldError]:
    """Where a field is wrong, and how."""
    path = _existing(details["loc"], document, details["type"])
    if path[:2] == _GRANULARITY and details["type"] != "value_error":  # pydantic tells what is wrong with each choice
        shown = json.dumps(_at(document, _GRANULARITY), ensure_ascii=False)
        words = f"pruning.granularity {shown[:80]} is none. Use one of {_GRANULARITIES}."
        return _GRANULARITY, FieldError(pointer(*_GRANULARITY), words)
    message = details["msg"].removeprefix("Value error, ").rstrip(".")
    if named := _FIELD_IN_WORDS.match(message):
        path = tuple(named.group(1).split("."))
    name = ".".join(map(str, path))
    match details["type"]:
        case "union_tag_invalid":
            path = ("task", "type")
            words = f"task.type {json.dumps(_at(document, path))[:80]} is no task. Use one of {', '.join(TASKS)}."
        case "extra_forbidden":
            words = f"{name} is not a field of a job. {_nearest(path, document)}"
        case "missing":
            words = f"{name} is missing. {_EXAMPLES.get(path, 'Give it, or leave out what it belongs to.')}"
        case "value_error":
            words = f"{message}." if not name or message.startswith(name) else f"{name}: {message}."
        case _:
            if path[:2] == ("pruning", "params"):
                message = "should be text, a number, true or false"
            shown = json.dumps(_at(document, path), ensure_ascii=False)
            hint = f" {_EXAMPLES[path]}" if path in _EXAMPLES else ""
            words = f"{name}: {message[:1].lower()}{message[1:]}, not {shown[:80]}.{hint}"
    return path, FieldError(pointer(*path), words)


def _existing(loc: Sequence[str | int], document: JsonObject, kind: str) -> Path:
    """The part of a location that the document has: pydantic puts the branches of unions between."""
    path: list[str | int] = []
    here: JsonValue = document
    for place, part in enumerate(loc, start=1):
        missing = kind == "missing" and place == len(loc)
        if isinstance(here, Mapping) and (part in here or missing):
            path.append(part)
            here = here.get(str(part))
    return tuple(path)


def _at(document: JsonValue, path: Path) -> JsonValue:
    for part in path:
        document = cast(Mapping[str | int, JsonValue], document).get(part) if isinstance(document, Mapping) else None
    return document


def _drop(document: dict[str, JsonValue], path: Path) -> None:
    """Remove a wrong field, so that the rest can be checked without it."""
    parent = _at(document, path[:-1])
    if path and isinstance(parent, dict):
        parent.pop(path[-1], None)


def _nearest(path: Path, document: JsonObject) -> str:
    """The known field that an unknown one was perhaps meant to be."""
    model = _model_at(path[:-1])
    if path[:-1] == ("task",):
        model = TASKS.get(str(_at(document, ("task", "type"))), TextClassification)
    known = list(model.model_fields)
    close = get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {'.'.join(map(str, (*path[:-1], close[0])))}?"
    for section in ("training", "pruning", "distillation", "limits", "splits"):
        if len(path) == 1 and path[0] in _model_at((section,)).model_fields:
            return f"Did you mean {section}.{path[0]}?"
    return f"Known here: {', '.join(known)}."


def _model_at(path: Path) -> type[BaseModel]:
    """The model that describes the object at a path of the spec."""
    model: type[BaseModel] = JobSpec
    for part in path:
        known = model.model_fields.get(str(part))
        annotation = known.annotation if known else None
        branches = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        inner = [branch for branch in branches if isinstance(branch, type) and issubclass(branch, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return model
