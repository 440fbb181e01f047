"""Tables as CSV, for those who ask for it (`Accept: text/csv`)."""

import csv
import io
import json
from collections.abc import Iterable, Mapping

from fastapi import Request, Response

MEDIA_TYPE = "text/csv"

#: What a route that also answers CSV adds to its `responses`.
RESPONSE: dict[int | str, dict[str, object]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


def is_wanted(request: Request) -> bool:
    """Whether the client asks for CSV."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def csv_response(
    rows: Iterable[Mapping[str, object]], filename: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Rows as CSV, one column for each name that any of them has; what is missing or null is empty."""
    rows = list(rows)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    given = {"Content-Disposition": f'inline; filename="{filename}.csv"', "Vary": "Accept", **(headers or {})}
    return Response(written.getvalue(), media_type=MEDIA_TYPE, headers=given)


def _cell(value: object) -> object:
    """A value as a spreadsheet reads it: text that it would take for a formula is quoted."""
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
