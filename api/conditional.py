"""Validators and ranges of RFC 9110: answers that are not sent because the client has them, or only in part."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.portions import in_portions
from api.ranges import Multipart, Span, wanted_spans
from store import BlobStore


class Stored(Protocol):
    """A file in the blob store, under a name."""

    @property
    def name(self) -> str:
        """Its path."""

    @property
    def media_type(self) -> str:
        """What its bytes are."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def sha256(self) -> str:
        """Of its content."""

    @property
    def blob_id(self) -> str:
        """Where its content is."""


def is_known(request: Request, etag: str, *, if_absent: bool = False) -> bool:
    """Whether If-None-Match names this version of the answer; `if_absent` is said where there is no such header."""
    header = request.headers.get("if-none-match")
    if header is None:
        return if_absent
    given = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in given or "*" in given


def not_modified(headers: Mapping[str, str]) -> Response:
    """304: the client has it already."""
    return Response(status_code=304, headers=dict(headers))


def file_response(request: Request, blobs: BlobStore, file: Stored) -> Response:
    """A file, streamed: whole, ranges of it, its headers alone (HEAD), or nothing where the client has it.

    Raises:
        RangeNotSatisfiable: The range asks for no byte of the file.
    """
    # A report is there to be looked at; what else is HTML is none of ours.
    shown = "inline" if file.media_type == "text/html" else "attachment"
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(file.name.rpartition('/')[2])}",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
    }
    content = Content(f'"{file.sha256}"', file.size, file.media_type, partial(blobs.read, file.blob_id))
    return content_response(request, content, headers)


@dataclass(frozen=True)
class Content:
    """Bytes that can be had in parts.

    Attributes:
        etag: their strong validator.
        size: how many there are.
        media_type: what they are.
        read: those from a place up to, but without, another.
    """

    etag: str
    size: int
    media_type: str
    read: Callable[[int, int], Iterator[bytes]]


def content_response(request: Request, content: Content, headers: Mapping[str, str]) -> Response:
    """Bytes, streamed: all, ranges of them, the headers alone (HEAD), or nothing where the client has them.

    Args:
        request: with its conditions.
        content: the bytes.
        headers: what else to say of them.

    Raises:
        RangeNotSatisfiable: The range asks for no byte of them.
    """
    said = {"ETag": content.etag, "Accept-Ranges": "bytes", **headers}
    if is_known(request, content.etag):
        return not_modified(said)
    spans = _wanted(request, content.etag, content.size)
    media_type, several = content.media_type, None
    if spans is None:
        span = Span(0, content.size)
        said["Content-Length"] = str(content.size)
    elif len(spans) == 1:
        [span] = spans
        said["Content-Range"] = span.of(content.size)
        said["Content-Length"] = str(span.end - span.start)
    else:
        several = Multipart(spans, content.size, media_type)
        media_type = several.media_type
        said["Content-Length"] = str(several.length)
    if request.method == "HEAD":
        return Response(headers=said, media_type=media_type)
    body = several.body(content.read) if several else content.read(span.start, span.end)
    return StreamingResponse(in_portions(body), status_code=206 if spans else 200, headers=said, media_type=media_type)


def _wanted(request: Request, etag: str, size: int) -> list[Span] | None:
    """The parts asked for; None for the whole file. Only GET has parts, and only of the version that If-Range names."""
    if request.method != "GET" or request.headers.get("if-range", etag) != etag:
        return None
    return wanted_spans(request.headers.get("range", ""), size)
