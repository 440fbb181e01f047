"""The class of transformers that wrote a directory."""

import json
from pathlib import Path

import transformers
from transformers import PreTrainedModel


class UnknownClass(ValueError):
    """A `config.json` names no class that transformers has."""


def class_of(directory: Path) -> type[PreTrainedModel]:
    """The class that wrote the directory; never code from the directory.

    Raises:
        UnknownClass: there is no such class.
    """
    try:
        (name,) = json.loads((directory / "config.json").read_text(encoding="utf-8"))["architectures"]
        found = getattr(transformers, name)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnknownClass(f"Its config.json names no one architecture that transformers has: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise UnknownClass(f"Its config.json names {name!r}, which is no model of transformers'.")
    return found
