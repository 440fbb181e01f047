"""Days and times in queries, as RFC 3339 writes them: pydantic would also read a bare number, as seconds since 1970."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")


def _is_day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError("give a day as 2026-01-31")
    return text


def _is_time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError("give a time with its zone, as 2026-01-31T12:00:00Z; in an address, + is written %2B")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("give a time between the years 1 and 9999 in UTC") from error


Day = Annotated[date, BeforeValidator(_is_day)]
Time = Annotated[AwareDatetime, BeforeValidator(_is_time), AfterValidator(_in_utc)]
