"""Which files of a model directory a packed model holds: weights, configuration, tokenizer; nothing that runs."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pruning_core.packed.frames import PackedError

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SUFFIXES = frozenset({".json", ".txt", ".safetensors", ".model", ".jinja", ".vocab", ".md"})
LONGEST_NAME = 200
MOST_FILES = 1000
WEIGHTS = ".safetensors"
CONFIG = "config.json"


def why_refused(name: str) -> str | None:
    """Why a file cannot be part of a packed model; None if it can.

    Args:
        name: below the model's directory, parts divided by slashes.
    """
    if len(name) > LONGEST_NAME or not all(_PART.fullmatch(part) for part in name.split("/")):
        return f"a file's name must be made of A-Z, a-z, 0-9, '_', '-' and '.', and {name[:100]!r} is not"
    if PurePosixPath(name).suffix not in _SUFFIXES:
        return f"{name[:100]!r} is none of {', '.join(sorted(_SUFFIXES))}"
    return None


def why_not_together(names: Sequence[str]) -> str | None:
    """Why files cannot lie in one model directory, of a file system that may not tell a from A; None if they can.

    Args:
        names: of all files, each below the model's directory.
    """
    if CONFIG not in names:
        return f"it names no {CONFIG}"
    files = {name.lower() for name in names}
    if len(files) < len(names):
        return "it names a file twice"
    for name in files:
        for directory in PurePosixPath(name).parents:
            if str(directory) in files:
                return f"it names {str(directory)[:100]!r} as a file and as a directory"
    return None


def files_of(directory: Path) -> list[str]:
    """The names of a model directory's files, sorted.

    Raises:
        PackedError: there is no config.json, or a file that cannot be part.
    """
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    if CONFIG not in names:
        raise PackedError(
            f"{directory} is no model directory: it has no config.json. Name one that save_pretrained made."
        )
    if len(names) > MOST_FILES:
        raise PackedError(f"{directory} has {len(names):,} files, and a packed model has at most {MOST_FILES:,}.")
    for name in names:
        if reason := why_refused(name):
            raise PackedError(f"{directory} cannot be packed: {reason}. Leave it out.")
    if reason := why_not_together(names):
        raise PackedError(f"{directory} cannot be packed: {reason}, where a file system does not tell a from A.")
    return names
