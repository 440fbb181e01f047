"""Movement pruning and its relatives, as a library: `from pruning_core import prune, PruningSpec`.

Names are loaded on first use: `pruning_core.spec` alone must not import torch (the HTTP service depends on it).
"""

from typing import TYPE_CHECKING

from pruning_core.spec import PruningSpec

if TYPE_CHECKING:
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

__all__ = [
    "CheckpointError",
    "Checkpointing",
    "ModelError",
    "NoSuchDevices",
    "PeerLost",
    "PeerOutOfMemory",
    "Progress",
    "PruningResult",
    "PruningSpec",
    "prune",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from pruning_core import run

        return getattr(run, name)
    raise AttributeError(f"module 'pruning_core' has no attribute {name!r}")
