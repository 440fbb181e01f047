"""A grid: which fields of a spec vary, the points that this gives, and where in the request a point's fault lies."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.bodies import Body, compact
from api.fields import Printable, fields_of
from api.problems import FieldError, Invalid, pointer
from store import JsonObject, JsonValue

MAX_JOBS = 100
#: The axis that only repeats a run: its points are averaged over.
SEEDS = "training.seed"

#: What a sweep may vary: how a model is pruned, not what its result is compared on.
_AXIS = re.compile(r"method|target_sparsity|model|distillation|(pruning|distillation|training|export)(\.\w+){1,8}")

Point = Mapping[str, JsonValue]


class SweepSpec(BaseModel):
    """A sweep. Only `base` and `grid` must be given."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Printable, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="What you call it."
    )
    base: dict[str, object] = Field(description="A job's spec, without what the grid gives.")
    grid: dict[str, list[object]] = Field(
        description="Fields of the spec, with dots for those inside, and of each the values it takes: "
        '`{"method": ["movement", "magnitude"], "target_sparsity": [0.8, 0.9], "training.seed": [1, 2, 3]}`.'
    )


def read_sweep(body: Body) -> SweepSpec:
    """Read a sweep as the client wrote it.

    Raises:
        Invalid: It is none, its grid is too large, or varies what a sweep cannot.
    """
    sweep = fields_of(body, SweepSpec)
    if errors := list(_faults(sweep)):
        raise Invalid(errors, what="The sweep")
    return sweep


def points_of(grid: Mapping[str, Sequence[JsonValue]]) -> list[Point]:
    """Every combination of the grid's values; those of its last field change first."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def spec_at(base: JsonObject, point: Point) -> JsonObject:
    """The spec of one job: the base, with the point's values in place of its own."""
    for field, value in point.items():
        base = _with(base, field.split("."), value)
    return base


def _with(document: JsonObject, path: Sequence[str], value: JsonValue) -> JsonObject:
    name, *deeper = path
    inner = document.get(name) or {}
    if deeper and isinstance(inner, Mapping):
        value = _with(inner, deeper, value)
    elif deeper:
        value = inner  # no object, which the check of the spec will say
    return {**document, name: value}


def faults_of(found: Mapping[int, Sequence[FieldError]], grid: Mapping[str, Sequence[JsonValue]]) -> list[FieldError]:
    """What is wrong with a sweep, each fault once, from what is wrong at points of its grid."""
    points = points_of(grid)
    where: dict[FieldError, list[int]] = {}
    for index, errors in found.items():
        for error in errors:
            where.setdefault(_in_request(error, points[index], grid), []).append(index)
    faults = []
    for error, indices in where.items():
        words = error.detail
        if len(indices) < len(points) and not error.pointer.startswith("/grid"):
            example = ", ".join(f"{field} {compact(value)}" for field, value in points[indices[0]].items())
            words += f" So it is at {len(indices)} of {len(points)} points, the first of them: {example}."
        faults.append(FieldError(error.pointer, words))
    return faults


def _in_request(error: FieldError, point: Point, grid: Mapping[str, Sequence[JsonValue]]) -> FieldError:
    for field, value in point.items():
        place = pointer(*field.split("."))
        if error.pointer == place or error.pointer.startswith(f"{place}/"):
            rest = error.pointer.removeprefix(place)
            index = list(map(_as_said, grid[field])).index(_as_said(value))
            return FieldError(f"{pointer('grid', field, index)}{rest}", error.detail)
    return FieldError(f"/base{error.pointer}", error.detail)


def _as_said(value: object) -> str:
    """The same for values that are the same in JSON: 1 and 1.0 are, and neither is true."""
    return json.dumps(json.loads(json.dumps(value, sort_keys=True), parse_int=float))


def _faults(sweep: SweepSpec) -> Iterator[FieldError]:
    if not sweep.grid:
        yield FieldError("/grid", "grid: name at least one field and its values; POST /v1/jobs submits a single job.")
    for field, values in sweep.grid.items():
        if not _AXIS.fullmatch(field):
            yield FieldError(
                pointer("grid", field),
                f"grid: {field[:80]!r} is nothing that a sweep varies. It varies method, target_sparsity, model, and "
                "fields of pruning, distillation, training and export, such as training.seed.",
            )
        if not values or len(set(map(_as_said, values))) < len(values):
            yield FieldError(pointer("grid", field), f"grid: give {field[:80]} at least one value, and none twice.")
        if outer := next((other for other in sweep.grid if field.startswith(f"{other}.")), None):
            yield FieldError(pointer("grid", field), f"grid: {field[:80]} is a part of {outer}; vary one of them.")
    jobs = prod(map(len, sweep.grid.values()))
    if jobs > MAX_JOBS:
        yield FieldError("/grid", f"grid: these are {jobs:,} jobs, and a sweep has at most {MAX_JOBS}. Split it.")
