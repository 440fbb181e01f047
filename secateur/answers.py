"""Reading an answer: its JSON where the service agreed, the error it stands for where it did not."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from secateur.errors import PROBLEM_BY_STATUS, ApiProblem, FieldError, UnexpectedAnswer


def json_of(response: httpx.Response) -> object:
    """The answer's JSON.

    Raises:
        UnexpectedAnswer: It is not JSON.
    """
    try:
        body: object = response.json()
    except ValueError as error:
        raise _unexpected(response, "what came is not JSON") from error
    return body


def object_of(response: httpx.Response, *fields: str) -> dict[str, object]:
    """The answer's JSON object, which has at least these fields.

    Raises:
        UnexpectedAnswer: It is no such object.
    """
    body = json_of(response)
    if not isinstance(body, dict) or any(field not in body for field in fields):
        raise _unexpected(response, f"the answer has no {' and '.join(fields) or 'fields'}")
    return body


def list_of(response: httpx.Response) -> list[object]:
    """The list under `data` in the answer's JSON object.

    Raises:
        UnexpectedAnswer: There is none.
    """
    data = object_of(response, "data")["data"]
    if not isinstance(data, list):
        raise _unexpected(response, "`data` is not a list")
    return data


def array_of(response: httpx.Response) -> list[object]:
    """The answer's JSON array.

    Raises:
        UnexpectedAnswer: It is none.
    """
    body = json_of(response)
    if not isinstance(body, list):
        raise _unexpected(response, "the answer is not a list")
    return body


def problem_of(response: httpx.Response) -> ApiProblem | UnexpectedAnswer:
    """The error that an answer outside 2xx stands for."""
    status = response.status_code
    if status < 400:
        return _unexpected(response, f"it redirects to {response.headers.get('location', 'nowhere')}; use that address")
    kind = PROBLEM_BY_STATUS.get(status, ApiProblem)
    retry_after_s = _seconds(response.headers.get("retry-after"))
    try:
        body: object = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        # Not ours: a proxy's own page, or a crash. The status is all there is to tell.
        text = f"{response.request.url} answered {status} {response.reason_phrase} without saying why."
        return kind(status, response.reason_phrase, text, retry_after_s=retry_after_s)
    entries = body.get("errors")
    return kind(
        status,
        str(body.get("title") or response.reason_phrase),
        str(body.get("detail") or ""),
        [
            FieldError(str(entry.get("pointer", "")), str(entry.get("detail", "")))
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ],
        type=str(body.get("type") or "about:blank"),
        retry_after_s=retry_after_s,
        request_id=str(body.get("request_id") or "") or None,
    )


def _unexpected(response: httpx.Response, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"{response.request.url} does not answer as Secateur does: {what}. "
        "Check that the address is the service's own, without a path or a proxy's login page before it."
    )


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3) in seconds from now: a number or a date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
