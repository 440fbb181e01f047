"""One name for the content of several files."""

import hashlib
from collections.abc import Iterable


def digest_of(files: Iterable[tuple[str, str]]) -> str:
    """The sha256 of a set of files, whatever their order.

    Args:
        files: of each its path and the sha256 of its content.
    """
    lines = "".join(f"{path}\0{sha256}\n" for path, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
