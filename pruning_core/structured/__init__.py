"""Physically smaller models: dead attention heads and feed-forward neurons taken out, residual shapes kept.

Names are loaded on first use, as in `pruning_core`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pruning_core.structured.artifact import StructuredError, kept_of, load_structured, save_structured
    from pruning_core.structured.removal import remove_dead

__all__ = ["StructuredError", "kept_of", "load_structured", "remove_dead", "save_structured"]

_ROOMS = dict.fromkeys(("StructuredError", "kept_of", "load_structured", "save_structured"), "artifact") | {
    "remove_dead": "removal"
}


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return getattr(import_module(f"pruning_core.structured.{_ROOMS[name]}"), name)
    raise AttributeError(f"module 'pruning_core.structured' has no attribute {name!r}")
