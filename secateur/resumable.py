"""Sends a large file in parts, and goes on where the connection broke: tus 1.0.0 (https://tus.io)."""

import base64
import hashlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from secateur.answers import object_of
from secateur.errors import BrokenUpload, Conflict, LocalFileError, ServiceUnavailable, ServiceUnreachable
from secateur.transport import Again, Transport
from secateur.uploads import OnBytes

#: Files from this size on are sent so; a smaller one is sooner sent again.
LARGE = 16 * 2**20

#: So many tries in a row may get no further: with their pauses two minutes, in which a service has restarted.
_TRIES = 10
_PIECE_BYTES = 2**20
_TUS = {"Tus-Resumable": "1.0.0"}


def send(transport: Transport, path: Path, on_bytes: OnBytes, timeout: float) -> str:
    """Send a file; return the upload's id, which stands for it in a dataset or model.

    As long as each try gets some bytes further, it is tried again.

    Args:
        transport: the way to the service.
        path: the file.
        on_bytes: told of bytes as they are sent; negative where some are sent again.
        timeout: seconds without any progress before a try is given up.

    Raises:
        LocalFileError: It cannot be read, or changed while it was sent.
        BrokenUpload: Other bytes have come than were sent.
        ServiceUnreachable: No try gets any further.
    """
    size = path.stat().st_size
    name = base64.b64encode(path.name.encode()).decode()
    begun = transport.send(
        "POST",
        "/v1/uploads",
        again=Again.IF_NOT_SENT,
        headers={**_TUS, "Upload-Length": str(size), "Upload-Metadata": f"filename {name}"},
    )
    upload_id = str(object_of(begun, "id")["id"])
    address = f"/v1/uploads/{upload_id}"
    sent = _File(path, on_bytes)
    reached, tried = 0, 0
    while reached < size:
        try:
            if tried or reached:
                offset = _offset_of(transport, address)
                reached, tried = offset, 0 if offset > reached else tried
            if reached < size:
                transport.patch(address, {**_TUS, "Upload-Offset": str(reached)}, sent.pieces(reached), timeout)
                reached = size
        except (ServiceUnreachable, ServiceUnavailable, Conflict) as error:
            tried += 1
            if tried == _TRIES:
                raise
            transport.pause(tried, error.retry_after_s if isinstance(error, ServiceUnavailable) else None)
    digest = object_of(transport.send("GET", address, again=Again.ALWAYS), "sha256")["sha256"]
    if digest != sent.sha256():
        raise BrokenUpload(f"{path} has not arrived as it was sent. Does another program write it? Upload it again.")
    return upload_id


def _offset_of(transport: Transport, address: str) -> int:
    offset = object_of(transport.send("GET", address, again=Again.ALWAYS), "offset")["offset"]
    assert isinstance(offset, int)
    return offset


class _File:
    """A file as it is sent: its bytes from anywhere, counted."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        self._path = path
        self._on_bytes = on_bytes
        self._told = 0

    def pieces(self, offset: int) -> Iterator[bytes]:
        """The bytes from an offset on."""
        self._on_bytes(offset - self._told)
        self._told = offset
        with self._opened() as file:
            file.seek(offset)
            while piece := file.read(_PIECE_BYTES):
                yield piece
                self._told += len(piece)
                self._on_bytes(len(piece))

    def sha256(self) -> str:
        """Of the file as it is now."""
        with self._opened() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _opened(self) -> BufferedReader:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise LocalFileError(f"{self._path} cannot be read: {error.strerror}.") from error
