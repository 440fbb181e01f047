"""JSON columns: JSONB on PostgreSQL, text on SQLite, and nothing in them that either would refuse."""

import json
import math
from collections.abc import Mapping, Sequence

from sqlalchemy import JSON, Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeAliasType

# TypeAliasType, because SQLAlchemy and pydantic both read annotations at run time and would follow a plain
# recursive alias for ever.
JsonValue = TypeAliasType(
    "JsonValue", "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject = TypeAliasType("JsonObject", Mapping[str, JsonValue])


def storable(value: JsonValue) -> JsonValue:
    """Replace what JSON or PostgreSQL cannot hold: NaN and infinities become null, NUL characters U+FFFD.

    A diverged loss in a report or a NUL in a log tail must not keep a job from ending.
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key.replace("\0", "\ufffd"): storable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [storable(item) for item in value]
    return value


def as_json(value: JsonValue) -> str:
    """A document as the databases are given it: only what both can hold."""
    try:
        text = _STRICT.encode(value)
    except ValueError:  # something in it is not finite
        return _STRICT.encode(storable(value))
    return text if _NUL not in text else _STRICT.encode(storable(value))


_STRICT = json.JSONEncoder(allow_nan=False)
_NUL = "\\u0000"
"""As JSON has it; also what looks like it, which costs a second look and changes nothing."""


class JsonDocument(TypeDecorator[JsonValue]):
    """A JSON document, written by `as_json`; Python's None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[JsonValue]:
        """Choose JSONB on PostgreSQL."""
        return dialect.type_descriptor(JSONB(none_as_null=True) if dialect.name == "postgresql" else self.impl_instance)
