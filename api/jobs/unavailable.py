"""What the contract names and this version cannot do yet: refused by name, never silently ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from api.problems import FieldError, pointer
from store import JsonObject, JsonValue

_LEAVE_OUT = "leave it out"


@dataclass(frozen=True)
class _Unbuilt:
    """A field, the values of it that ask for something unbuilt, and what to do instead.

    Attributes:
        path: where it is.
        remedy: what to do.
        only: the values that are not available; None means every value but false.
    """

    path: tuple[str, ...]
    remedy: str = _LEAVE_OUT
    only: frozenset[str] | None = None

    def refuses(self, value: JsonValue) -> bool:
        if self.only is not None:
            return isinstance(value, str) and value in self.only
        # A flag that is off says no more than leaving it out.
        return value is not None and value is not False


_UNBUILT = (_Unbuilt(("training", "precision"), "use auto, fp32 or bf16", frozenset({"fp16"})),)


def take_out(document: JsonObject) -> tuple[dict[str, JsonValue], list[FieldError]]:
    """Separate what is not available from the rest of a spec.

    Returns:
        The spec without it, and a problem for each such field.
    """
    rest = cast(dict[str, JsonValue], _copied(document))
    errors = []
    for field in _UNBUILT:
        parent = _parent(rest, field.path)
        if parent is None or field.path[-1] not in parent:
            continue
        value = parent[field.path[-1]]
        if not field.refuses(value):
            if field.only is None:
                del parent[field.path[-1]]
            continue
        shown = f"{'.'.join(field.path)} {value!r}" if field.only else ".".join(field.path)
        errors.append(FieldError(pointer(*field.path), f"{shown} is not available in this version; {field.remedy}."))
        del parent[field.path[-1]]
    return rest, errors


def _copied(value: JsonValue) -> JsonValue:
    return {name: _copied(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _at(document: JsonValue, path: tuple[str, ...]) -> JsonValue:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def _parent(document: dict[str, JsonValue], path: tuple[str, ...]) -> dict[str, JsonValue] | None:
    parent = _at(document, path[:-1])
    return parent if isinstance(parent, dict) else None
