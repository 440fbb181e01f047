"""Validators and ranges of RFC 9110: answers that are not sent because the client has them, or only in part."""

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.problems import RangeNotSatisfiable
from store import Artifact, BlobStore

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


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


def file_response(request: Request, blobs: BlobStore, artifact: Artifact) -> Response:
    """A file, streamed: whole, one range of it, its headers alone (HEAD), or nothing where the client has it.

    Raises:
        RangeNotSatisfiable: The range asks for no byte of the file.
    """
    etag = f'"{artifact.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact.name.rpartition('/')[2])}",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(artifact.sha256)).decode()}:",
        "X-Content-Type-Options": "nosniff",
    }
    if is_known(request, etag):
        return not_modified(headers)
    part = _wanted_range(request, etag, artifact.size)
    start, end = part or (0, artifact.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=artifact.media_type)
    content: Iterator[bytes] = blobs.read(artifact.blob_id, start, end)
    return StreamingResponse(content, status_code=status, headers=headers, media_type=artifact.media_type)


def _wanted_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The one range asked for as (start, end), end exclusive; None for the whole file.

    What we do not do (several ranges, other units) is answered with the whole file, as RFC 9110, 14.2 allows.
    """
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes; ask for a range inside it.", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, end
