"""Reads multipart uploads to temporary files, refusing what is too large while it still comes in."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.bodies import declared_length, is_storable, refuse_encoded
from api.ids import is_id
from api.problems import FieldError, Invalid, MalformedRequest, TooLarge, WrongMediaType
from store import BlobRef

MAX_NAME = 200

#: Boundaries and part headers, on top of the files' own bytes.
_FRAMING_BYTES = 1 << 20

#: One parameter of a Content-Disposition header, quoted or bare.
_PARAMETER = re.compile(r';\s*([^=;\s]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;]*))')


@dataclass(frozen=True)
class FilePart:
    """A file of the form, on disk until the request ends.

    Attributes:
        field: the form field it came in.
        filename: as the client sent it, path and all.
        size: in bytes.
        stream: positioned at its start.
        blob: where its content is in the store, if it is there already.
    """

    field: str
    filename: str
    size: int
    stream: BinaryIO
    blob: BlobRef | None = None


@dataclass(frozen=True)
class Form:
    """An upload: its name and its files.

    Attributes:
        name: what it is called.
        files: in their order.
        sharded: whether a dataset's split may be in several of them.
        uploads: fields that name an upload in parts (`api.uploads`) in place of a file, and its id.
    """

    name: str
    files: tuple[FilePart, ...]
    sharded: bool = False
    uploads: tuple[tuple[str, str], ...] = ()


class _Parser(MultiPartParser):
    """Starlette's parser, which alone takes a body that breaks off for a whole one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


@asynccontextmanager
async def read_form(request: Request, limit: int, *, max_files: int) -> AsyncIterator[Form]:
    """Read a form of one text field `name` and files; its temporary files live as long as the context.

    Args:
        request: whose body is read.
        limit: bytes of all files together.
        max_files: how many files.

    Raises:
        WrongMediaType: The body is no multipart form, or is compressed.
        TooLarge: The files are over the limit; nothing beyond it is read.
        MalformedRequest: The form is broken.
        Invalid: `name` is missing or unusable, or a field is not known.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise WrongMediaType("Send the files as `multipart/form-data`, for example with curl -F.")
    refuse_encoded(request)
    if declared_length(request) > limit + _FRAMING_BYTES:
        raise _too_large(limit)
    body = _bounded(request, limit + _FRAMING_BYTES)
    # every file may come as the name of an upload, which is text
    parser = _Parser(request.headers, body, max_files=max_files, max_fields=20 + max_files)
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise MalformedRequest(f"The multipart body cannot be read: {error.message}") from error
    try:
        if not parser.complete:
            raise MalformedRequest("The multipart body breaks off before its closing boundary. Send it again.")
        yield _form(parts.multi_items(), limit)
    finally:
        await parts.close()


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _too_large(limit - _FRAMING_BYTES)
        yield chunk


def require_within(limit: int, size: int) -> None:
    """Return if files of so many bytes together may be uploaded.

    Raises:
        TooLarge: They may not.
    """
    if size > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The upload is over the limit of {limit:,} bytes. Send less, or let the operator raise "
        "SECATEUR_MAX_DATASET_BYTES or SECATEUR_MAX_MODEL_BYTES."
    )


def _form(parts: list[tuple[str, UploadFile | str]], limit: int) -> Form:
    errors: list[FieldError] = []
    names: list[str] = []
    files: list[FilePart] = []
    uploads: list[tuple[str, str]] = []
    for field, part in parts:
        if isinstance(part, UploadFile):
            files.append(FilePart(field, raw_filename(part), part.size or 0, part.file))
        elif field == "name":
            names.append(part)
        elif is_id(part.strip(), "upl"):
            uploads.append((field, part.strip()))
        else:
            errors.append(
                FieldError(
                    f"/{field}",
                    f"{field!r} came as text. Send it as a file, with a file name (curl: -F '…=@…'), or as an upload's "
                    "id.",
                )
            )
    require_within(limit, sum(file.size for file in files))
    name = names[0].strip() if len(names) == 1 else ""
    if len(names) != 1:
        errors.append(FieldError("/name", "Give the upload one name in the text field `name`."))
    elif not name or len(name) > MAX_NAME or not is_storable(name) or not name.isprintable():
        errors.append(FieldError("/name", f"The name must be 1 to {MAX_NAME} printable characters."))
    if errors:
        raise Invalid(errors, what="The upload")
    return Form(name, tuple(files), uploads=tuple(uploads))


def raw_filename(part: UploadFile) -> str:
    """The file name as sent: the parser would cut the folders off a Windows path, which we want to refuse."""
    for found in _PARAMETER.finditer(part.headers.get("content-disposition", "")):
        key, quoted, bare = found.groups()
        if key.lower() == "filename":
            raw: str = quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted is not None else bare.strip()
            return raw.encode("latin-1").decode("utf-8", "replace")
    return part.filename or ""
