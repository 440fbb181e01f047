"""Validators and ranges of RFC 9110: answers that are not sent because the client has them, or only in part."""

import base64
from collections.abc import Mapping
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
    etag = f'"{file.sha256}"'
    # A report is there to be looked at; what else is HTML is none of ours.
    shown = "inline" if file.media_type == "text/html" else "attachment"
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(file.name.rpartition('/')[2])}",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
    }
    if is_known(request, etag):
        return not_modified(headers)
    spans = _wanted(request, etag, file.size)
    media_type, several = file.media_type, None
    if spans is None:
        span = Span(0, file.size)
        headers["Content-Length"] = str(file.size)
    elif len(spans) == 1:
        [span] = spans
        headers["Content-Range"] = span.of(file.size)
        headers["Content-Length"] = str(span.end - span.start)
    else:
        several = Multipart(spans, file.size, media_type)
        media_type = several.media_type
        headers["Content-Length"] = str(several.length)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    if several:
        content = several.body(lambda start, end: blobs.read(file.blob_id, start, end))
    else:
        content = blobs.read(file.blob_id, span.start, span.end)
    return StreamingResponse(
        in_portions(content), status_code=206 if spans else 200, headers=headers, media_type=media_type
    )


def _wanted(request: Request, etag: str, size: int) -> list[Span] | None:
    """The parts asked for; None for the whole file. Only GET has parts, and only of the version that If-Range names."""
    if request.method != "GET" or request.headers.get("if-range", etag) != etag:
        return None
    return wanted_spans(request.headers.get("range", ""), size)
