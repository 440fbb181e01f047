"""Packed models: one file near the entropy bound, out of which stock transformers' directory comes again.

The format: docs/packed-format.md. Names are loaded on first use, because unpacking needs no torch, and the spec's
`precision` nothing at all.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pruning_core.packed.frames import PackedError
    from pruning_core.packed.loading import load_packed, save_packed
    from pruning_core.packed.unpacking import unpack

__all__ = ["PackedError", "load_packed", "save_packed", "unpack"]

_ROOMS = {"PackedError": "frames", "load_packed": "loading", "save_packed": "loading", "unpack": "unpacking"}


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return getattr(import_module(f"pruning_core.packed.{_ROOMS[name]}"), name)
    raise AttributeError(f"module 'pruning_core.packed' has no attribute {name!r}")
