"""Bringing one artifact to disk: under a safe name, complete, verified, and all at once."""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from secateur.errors import BrokenDownload, LocalFileError, ServiceUnavailable, ServiceUnreachable
from secateur.resources import Artifact
from secateur.transport import TRIES, Transport

BLOCK = 1 << 20

#: Told how many bytes have come further; negative where a broken transfer starts over.
OnBytes = Callable[[int], None]


def ignore(_: int) -> None:
    """Nobody wants to know."""


def target_path(directory: Path, name: str) -> Path:
    """Where an artifact belongs below `directory`.

    Raises:
        BrokenDownload: The name would lead out of the directory, over a link included.
    """
    if any(c in "\\:" or not c.isprintable() for c in name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise BrokenDownload(f"The artifact's name {name!r} is not a plain path below a directory; it was not written.")
    path = directory / PurePosixPath(name)
    if not path.parent.resolve().is_relative_to(directory.resolve()):
        raise BrokenDownload(f"{path.parent} is a link that leads out of {directory}; remove it and download again.")
    return path


def is_present(path: Path, artifact: Artifact) -> bool:
    """Whether the file is already there, whole and unaltered."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != artifact["size"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact["sha256"]


def fetch(transport: Transport, job_id: str, artifact: Artifact, path: Path, on_bytes: OnBytes) -> None:
    """Stream an artifact into a file beside its place, verify it, and rename it there.

    Raises:
        ApiProblem: The service refused.
        BrokenDownload: The bytes are not those of `artifact["sha256"]`.
        LocalFileError: The file cannot be written.
        ServiceUnreachable: The connection kept breaking.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                _transfer(transport, f"/v1/jobs/{job_id}/artifacts/{quote(artifact['name'])}", artifact, file, on_bytes)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LocalFileError(f"{path} cannot be written: {error.strerror or error}.") from error


def _transfer(transport: Transport, url: str, artifact: Artifact, file: IO[bytes], on_bytes: OnBytes) -> None:
    """Copy the body into `file`; a broken connection is taken up where it broke, if the service serves ranges."""
    digest = hashlib.sha256()
    broken = 0
    while True:
        have = file.tell()
        # If-Range: should the artifact have been replaced in between, the whole new one comes, and its sha256 tells.
        resume = {"Range": f"bytes={have}-", "If-Range": f'"{artifact["sha256"]}"'} if have else {}
        try:
            # A compressed body would be decoded on the way, and byte positions would no longer be the file's.
            with transport.stream(url, {"Accept": "*/*", "Accept-Encoding": "identity", **resume}) as response:
                if have and response.status_code != 206:
                    file.seek(0)
                    file.truncate()
                    digest = hashlib.sha256()
                    on_bytes(-have)
                for block in response.iter_bytes(BLOCK):
                    file.write(block)
                    digest.update(block)
                    on_bytes(len(block))
        except (ServiceUnreachable, ServiceUnavailable) as error:
            broken = 1 if file.tell() > have else broken + 1
            if broken == TRIES:
                raise
            retry_after_s = error.retry_after_s if isinstance(error, ServiceUnavailable) else None
            transport.pause(broken, retry_after_s)
            continue
        break
    if file.tell() != artifact["size"] or digest.hexdigest() != artifact["sha256"]:
        raise BrokenDownload(
            f"{artifact['name']} arrived altered: its sha256 is not the announced {artifact['sha256']}. "
            "Nothing was kept; download again, and if it happens again, tell the service's operator."
        )
