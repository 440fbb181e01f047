"""A wall clock that can be moved while a process runs, for a worker started with this folder on its PYTHONPATH.

The offset, in seconds, is a double in the file that CHAOS_CLOCK names; every process of the worker maps it, so that a
change is seen at once, as when a host's clock is set. `time.monotonic` stays as it is: no kernel lets it jump.
"""

import mmap
import os
import struct
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

with Path(os.environ["CHAOS_CLOCK"]).open("rb") as file:
    _shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_true_time, _true_time_ns = time.time, time.time_ns


def _offset_s() -> float:
    offset: float = struct.unpack("d", _shared[:8])[0]
    return offset


def _time() -> float:
    return _true_time() + _offset_s()


def _time_ns() -> int:
    return _true_time_ns() + int(_offset_s() * 1e9)


class _Datetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain datetime, like its callers expect
        return datetime.now(tz) + timedelta(seconds=_offset_s())


class _MoveExpiry(MetaPathFinder):
    """Moves `datetime.now` where Celery judges whether a message has expired.

    There only: `datetime` is written in C and cannot be patched, and a stand-in everywhere would not be recognised by
    libraries that look for the class itself.
    """

    name = "celery.worker.request"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_move(module: ModuleType) -> None:
            execute(module)
            module.datetime = _Datetime  # type: ignore[attr-defined]

        spec.loader.exec_module = execute_and_move  # type: ignore[method-assign]
        return spec


time.time, time.time_ns = _time, _time_ns
sys.meta_path.insert(0, _MoveExpiry())
