"""Reading a job's spec from a JSON file or from stdin."""

import json
import sys
from pathlib import Path

from secateur.errors import LocalFileError


def read_spec(file: str) -> dict[str, object]:
    """Read the spec.

    Args:
        file: A path, or `-` for stdin.

    Raises:
        LocalFileError: It cannot be read, or is not a JSON object; line and column say where.
    """
    name = "stdin" if file == "-" else file
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
    except OSError as error:
        raise LocalFileError(f"The spec {name} cannot be read: {error.strerror}.") from error
    try:
        spec: object = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_without_repetition)
    except UnicodeDecodeError as error:
        raise LocalFileError(f"The spec {name} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise LocalFileError(
            f"The spec {name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except _RepeatedField as error:
        raise LocalFileError(f"The spec {name} gives the field {error} twice; keep one.") from error
    if not isinstance(spec, dict):
        raise LocalFileError(f"The spec {name} is not a JSON object with model, dataset, method and target_sparsity.")
    return spec


class _RepeatedField(Exception):
    """A field was given twice, of which JSON readers silently keep the last."""


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedField(next(repr(name) for name in names if names.count(name) > 1))
    return fields
