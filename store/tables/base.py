"""What all tables share: the declarative base, constraint names and the types of common columns."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from sqlalchemy import BigInteger, Enum, MetaData
from sqlalchemy.orm import DeclarativeBase, mapped_column

from store.clock import UTCDateTime, db_now

# Named constraints are what lets Alembic change them later, on SQLite too.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Size = Annotated[int, mapped_column(BigInteger)]
"""A number of bytes or of weights: more than 32 bits."""

Written = Annotated[datetime, mapped_column(UTCDateTime, default=db_now())]
"""When the row was written, by the database's clock."""


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {datetime: UTCDateTime}


def words(type_: type[StrEnum], name: str) -> Enum:
    """The type of a column that holds one of some words."""
    # Text and a CHECK: a native enum of PostgreSQL could not be changed inside a transaction everywhere.
    return Enum(
        type_,
        name=name,
        native_enum=False,
        length=16,
        create_constraint=True,
        values_callable=lambda words: [str(word) for word in words],
    )
