"""What a supervisor and its trainer tell each other all the time: how long the lease lasts, what the trainer does.

Three numbers in a file that both have mapped: no system call, no lock, and nothing that either could block on. Times
are those of CLOCK_MONOTONIC, which all processes of a host share and nobody can set.
"""

import math
import mmap
import struct
from pathlib import Path

_FORMAT = struct.Struct("<d")
_DEADLINE, _BEAT, _WRITING, _SIZE = 0, 8, 16, 24


class Pulse:
    """Shared by one supervisor and one trainer."""

    def __init__(self, file: Path) -> None:
        """Map the file; make it, with a lease without end and no step yet, if it is not there."""
        if not file.exists():
            file.write_bytes(_FORMAT.pack(math.inf) + _FORMAT.pack(0.0) + _FORMAT.pack(0.0))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), _SIZE)

    @property
    def deadline(self) -> float:
        """Until when the attempt surely owns its job: the supervisor moves it, the trainer makes no step past it."""
        return float(_FORMAT.unpack_from(self._map, _DEADLINE)[0])

    @deadline.setter
    def deadline(self, moment: float) -> None:
        _FORMAT.pack_into(self._map, _DEADLINE, moment)

    @property
    def beat(self) -> float:
        """When the trainer last got on with its work; zero until it has been loaded."""
        return float(_FORMAT.unpack_from(self._map, _BEAT)[0])

    @beat.setter
    def beat(self, moment: float) -> None:
        _FORMAT.pack_into(self._map, _BEAT, moment)

    @property
    def writing(self) -> bool:
        """Whether the trainer is in a transaction that writes: stopped there, it would keep locks that others need."""
        return bool(_FORMAT.unpack_from(self._map, _WRITING)[0])

    @writing.setter
    def writing(self, is_so: bool) -> None:
        _FORMAT.pack_into(self._map, _WRITING, float(is_so))
