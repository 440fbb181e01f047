"""Reads JSON request bodies: bounded, exact about what is wrong, and free of what no database can hold."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, NoReturn, cast
from urllib.parse import parse_qs

from fastapi import Depends, Request
from pydantic import StringConstraints

from api.problems import FieldError, Invalid, MalformedRequest, TooLarge, WrongMediaType, pointer
from store.documents import JsonObject, JsonValue

MAX_BYTES = 1 << 20

_JSON = "application/json"

#: Half of a character, which is JSON and no text.
_HALF = re.compile("[\ud800-\udfff]")

#: Nothing that we read nests nearly as deep, and every walk through a document is one recursion per level.
MAX_DEPTH = 64

#: Beyond it not every integer is a float (RFC 8259, section 6).
_LARGEST_EXACT = 2**53 - 1


@dataclass(frozen=True)
class Body:
    """A JSON object as the client sent it.

    Attributes:
        document: what it says.
        size: in bytes.
    """

    document: JsonObject
    size: int = 0

    @property
    def sha256(self) -> str:
        """The digest of what it says: spaces and the order of fields change nothing."""
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


async def json_body(request: Request) -> Body:
    """Read the request's JSON object.

    Raises:
        WrongMediaType: It does not say that it is JSON in UTF-8, or is compressed.
        TooLarge: It is over 1 MiB.
        MalformedRequest: It is not JSON; the problem names line and column.
        Invalid: It is JSON, but no object, or holds text that cannot be stored.
    """
    _refuse_other_types(request.headers.get("content-type"))
    refuse_encoded(request)
    sent = await bounded(request)
    document = parse(sent)
    if not isinstance(document, Mapping):
        raise Invalid([FieldError("", "The body must be a JSON object: {…}.")])
    if errors := list(unstorable(document)):
        raise Invalid(errors)
    return Body(document, len(sent))


async def optional_json_body(request: Request) -> Body:
    """Read the request's JSON object; no body at all says as much as an empty one. Raises as `json_body` does."""
    if "content-type" not in request.headers and not await bounded(request):
        return Body({})
    return await json_body(request)


def _refuse_other_types(given: str | None) -> None:
    if given == _JSON:
        return
    kind = Message()
    kind["content-type"] = given or "application/octet-stream"
    media_type = kind.get_content_type()
    if media_type != _JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        shown = "nothing" if given is None else given[:80]
        raise WrongMediaType(f"Send JSON with `Content-Type: {_JSON}`, not {shown!r}.")
    if (kind.get_content_charset() or "utf-8") not in {"utf-8", "us-ascii"}:
        raise WrongMediaType("Send JSON encoded as UTF-8 (RFC 8259), and leave out `charset`.")


JsonBody = Annotated[Body, Depends(json_body)]
OptionalJsonBody = Annotated[Body, Depends(optional_json_body)]


def refuse_encoded(request: Request) -> None:
    """Refuse a compressed body: how much it would become is known only when it is too late.

    Raises:
        WrongMediaType: It is one.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise WrongMediaType(
            "Send the body as it is, without `Content-Encoding`.", headers={"Accept-Encoding": "identity"}
        )


_FORM = "application/x-www-form-urlencoded"


async def form_fields(request: Request) -> dict[str, list[str]]:
    """Read the request's URL-encoded form: of each field its values.

    Raises:
        WrongMediaType: It is of another type, or compressed.
        TooLarge: It is over 1 MiB.
    """
    given = request.headers.get("content-type", _FORM)
    if given.partition(";")[0].strip().lower() != _FORM:
        raise WrongMediaType(f"Send the fields with `Content-Type: {_FORM}`, not {given[:80]!r}.")
    refuse_encoded(request)
    return parse_qs((await bounded(request)).decode("utf-8", "replace"))


FormBody = Annotated[dict[str, list[str]], Depends(form_fields)]


async def bounded(request: Request) -> bytes:
    """The request's body.

    Raises:
        TooLarge: It is over 1 MiB.
    """
    size, chunks = declared_length(request), []
    if size <= MAX_BYTES:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BYTES:
                break
    if size > MAX_BYTES:
        raise TooLarge(f"The body is over {MAX_BYTES:,} bytes. Leave out what is not part of the request.")
    return b"".join(chunks)


def declared_length(request: Request) -> int:
    """What Content-Length says; 0 where it says nothing usable."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def parse(raw: bytes, *, as_written: bool = False) -> JsonValue:
    """Parse strict JSON: no NaN, no Infinity, no field twice.

    Args:
        raw: UTF-8.
        as_written: leave 16.0 a fraction, for others will read the same text.

    Raises:
        MalformedRequest: It is not JSON; the problem names line and column where there are any.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The body is not UTF-8 at byte {error.start}. Send JSON encoded as UTF-8.") from error
    try:
        value = cast(
            JsonValue,
            json.loads(
                text,
                parse_float=float if as_written else _number,
                parse_constant=_no_constant,
                object_pairs_hook=_no_duplicates,
            ),
        )
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise MalformedRequest("The body nests too deeply to be read. Flatten it.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise MalformedRequest(f"The body is not usable JSON: {error}.") from error
    if _deeper_than(value, MAX_DEPTH):
        raise MalformedRequest(f"The body nests deeper than {MAX_DEPTH} levels. Flatten it.")
    return value


def _deeper_than(value: JsonValue, levels: int) -> bool:
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_deeper_than(item, levels - 1) for item in inner)


def compact(value: JsonValue) -> str:
    """A value as JSON, short enough for a message."""
    return json.dumps(value, ensure_ascii=False)[:80]


def _number(text: str) -> int | float:
    """A number: 16.0 is 16, for JSON tells them apart no more than JSON Schema does, and some clients write all so."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= _LARGEST_EXACT else value


def _no_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"The body is not JSON: {name} is not a JSON number.")


def _no_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value] # None
        raise MalformedRequest(f"The body names the field {twice!r} twice in one object. Keep one of them.")
    return found


def unstorable(value: JsonValue, path: tuple[str | int, ...] = ()) -> Iterator[FieldError]:
    """Text with NUL characters or lone surrogates, which is valid JSON and no text."""
    if isinstance(value, str):
        if not is_storable(value):
            place = pointer(*(str(part).encode("utf-8", "replace").decode() for part in path))
            yield FieldError(place, "This text holds a NUL character or half a character. Remove it.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from unstorable(name, path)
            yield from unstorable(item, (*path, name))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from unstorable(item, (*path, index))


def is_storable(text: str) -> bool:
    """Whether both databases can hold a text."""
    return "\0" not in text and _HALF.search(text) is None


#: Half characters cannot come in an address: what is no UTF-8 there is replaced when it is read.
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""A query parameter that is compared with stored text."""
