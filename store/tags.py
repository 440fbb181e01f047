"""One question to a JSON column of tags, asked in each database's own words."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement


class _HasTag(FunctionElement[bool]):
    """True where the first argument, a JSON object of strings, holds the third under the second."""

    type = Boolean()
    inherit_cache = True


def has_tag(tags: InstrumentedAttribute[Mapping[str, str]], key: str, value: str) -> ColumnElement[bool]:
    """Return SQL that is true where a JSON object of strings holds a value under a key.

    SQLAlchemy's own `tags["k"]` becomes a JSON path on SQLite, which a quote in the key would break.
    """
    return _HasTag(tags, literal(key), literal(value))


@compiles(_HasTag, "postgresql")
def _on_postgresql(element: _HasTag, compiler: SQLCompiler, **kw: Any) -> str:
    tags, key, value = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({tags} ->> CAST({key} AS text) = {value})"


@compiles(_HasTag, "sqlite")
def _on_sqlite(element: _HasTag, compiler: SQLCompiler, **kw: Any) -> str:
    tags, key, value = (compiler.process(clause, **kw) for clause in element.clauses)
    # key and value are bound parameters here, never text
    return f"EXISTS (SELECT 1 FROM json_each({tags}) AS tag WHERE tag.key = {key} AND tag.value = {value})"  # noqa: S608
