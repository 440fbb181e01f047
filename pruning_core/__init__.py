"""Movement pruning and its relatives, as a library: `from pruning_core import prune, PruningSpec`.

Names are loaded on first use: `pruning_core.spec` alone must not import torch (the HTTP service depends on it), and
`pruning_core.packed` must unpack where neither torch nor pydantic is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pruning_core.advice import Advice
    from pruning_core.packed import PackedError, load_packed, save_packed, unpack
    from pruning_core.run import (
        CheckpointError,
        Checkpointing,
        ModelError,
        NoSuchDevices,
        PeerLost,
        PeerOutOfMemory,
        Progress,
        PruningResult,
        prune,
    )
    from pruning_core.spec import PruningSpec
    from pruning_core.structured import StructuredError, load_structured, save_structured

__all__ = [
    "Advice",
    "CheckpointError",
    "Checkpointing",
    "ModelError",
    "NoSuchDevices",
    "PackedError",
    "PeerLost",
    "PeerOutOfMemory",
    "Progress",
    "PruningResult",
    "PruningSpec",
    "StructuredError",
    "load_packed",
    "load_structured",
    "prune",
    "save_packed",
    "save_structured",
    "unpack",
]

#: Where names come from; all others from `pruning_core.run`.
_ROOMS = (
    {"PruningSpec": "spec", "Advice": "advice"}
    | dict.fromkeys(("PackedError", "load_packed", "save_packed", "unpack"), "packed")
    | dict.fromkeys(("StructuredError", "load_structured", "save_structured"), "structured")
)


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module(f"pruning_core.{_ROOMS.get(name, 'run')}"), name)
    raise AttributeError(f"module 'pruning_core' has no attribute {name!r}")
