"""The headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload): core, creation, expiration and termination."""

import base64
import binascii
from datetime import UTC
from email.utils import format_datetime
from typing import Annotated

from fastapi import Header, Request, Response

from api.auth import Submitter
from api.bodies import is_storable, refuse_encoded
from api.multipart import MAX_NAME
from api.problems import FieldError, Invalid, MalformedRequest, PreconditionFailed, WrongMediaType
from store import UploadState

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
BODY = "application/offset+octet-stream"
#: More digits than these are in no file's size.
_NUMBER = r"^\d{1,18}$"

Length = Annotated[str, Header(alias="Upload-Length", pattern=_NUMBER, description="Bytes of the whole file.")]
Offset = Annotated[str, Header(alias="Upload-Offset", pattern=_NUMBER, description="Where the body begins.")]
Metadata = Annotated[
    str, Header(alias="Upload-Metadata", max_length=4000, description="`filename` and its name in Base64.")
]


def speaks_tus(
    _: Submitter,
    tus_resumable: Annotated[
        str | None, Header(alias="Tus-Resumable", description="`1.0.0`: the version of the protocol.")
    ] = None,
) -> None:
    """Let requests of our version through, once it is known who asks.

    Raises:
        PreconditionFailed: It is of another version, or of none.
    """
    if tus_resumable != VERSION:
        raise PreconditionFailed(
            f"Send `Tus-Resumable: {VERSION}`: uploads in parts speak tus {VERSION}.", headers={"Tus-Version": VERSION}
        )


def require_body(request: Request) -> None:
    """Return if the request's body is a part of a file.

    Raises:
        WrongMediaType: It is not, or is compressed.
    """
    refuse_encoded(request)
    if request.headers.get("content-type", "").strip().lower() != BODY:
        raise WrongMediaType(f"Send the file's bytes with `Content-Type: {BODY}`.")


def filename_of(metadata: str) -> str:
    """The file's name from Upload-Metadata: pairs of a key and a value in Base64, separated by commas.

    Raises:
        MalformedRequest: It cannot be read.
        Invalid: There is no usable name.
    """
    pairs = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    try:
        name = base64.b64decode(pairs.get("filename", ""), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MalformedRequest("Upload-Metadata cannot be read: values are UTF-8 in Base64.") from error
    if not name or len(name) > MAX_NAME or not name.isprintable() or not is_storable(name):
        raise Invalid(
            [FieldError("/header/Upload-Metadata", f"Give `filename` 1 to {MAX_NAME} printable characters, in Base64.")]
        )
    return name


def describe(response: Response, state: UploadState) -> None:
    """Say in an answer's headers how far an upload is."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Upload-Offset"] = str(state.offset)
    response.headers["Upload-Length"] = str(state.size)
    response.headers["Upload-Metadata"] = f"filename {base64.b64encode(state.filename.encode()).decode()}"
    response.headers["Upload-Expires"] = format_datetime(state.expires_at.astimezone(UTC), usegmt=True)
    response.headers["Cache-Control"] = "no-store"
