"""All files of a job as one tar archive, streamed: nothing of it is ever on a disk, and little in memory."""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence

from store import Artifact, BlobStore

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class Archive:
    """A tar archive (POSIX.1-2001, pax) of files that lie elsewhere."""

    def __init__(self, folder: str, artifacts: Sequence[Artifact]) -> None:
        """Lay it out.

        Args:
            folder: the one folder that all files are in.
            artifacts: the files, in their order.
        """
        self._files = [(_header(folder, artifact), artifact) for artifact in artifacts]

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(len(header) + artifact.size + _padding(artifact.size) for header, artifact in self._files) + len(
            _END
        )

    @property
    def etag(self) -> str:
        """Of its contents."""
        digest = hashlib.sha256()
        for header, artifact in self._files:
            digest.update(header + artifact.sha256.encode())
        return f'"{digest.hexdigest()}"'

    def body(self, blobs: BlobStore, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to, but without, `end`; a file's sha256 is verified where all of it is read."""
        place = 0
        for header, artifact in self._files:
            padding = bytes(_padding(artifact.size))
            parts = ((header, len(header)), (artifact, artifact.size), (padding, len(padding)))
            for part, size in parts:
                first, last = max(0, start - place), min(size, end - place)
                place += size
                if first < last:
                    yield from [part[first:last]] if isinstance(part, bytes) else blobs.read(part.blob_id, first, last)
        yield _END[max(0, start - place) : max(0, end - place)]


def _header(folder: str, artifact: Artifact) -> bytes:
    entry = tarfile.TarInfo(f"{folder}/{artifact.name}")
    entry.size = artifact.size
    entry.mtime = int(artifact.created_at.timestamp())
    return entry.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % _BLOCK
