"""Lends a host's devices to jobs, each to one at a time, whichever of its worker processes runs the job."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.devices import Devices

_FOLDER = "devices"
_CHOOSING = "choosing"
_LOOK_S = 0.05


class Loan:
    """What one job is lent; at first all that is free, so that the best job for it can be claimed."""

    def __init__(self, devices: Devices, held: dict[str, int], choosing: int | None) -> None:
        """Hold devices by the descriptors of their locks, and the lock of who chooses."""
        self._devices = devices
        self._held = held
        self._choosing = choosing

    @property
    def offers(self) -> int:
        """How many devices a job may ask for; 0 where none is free."""
        return len(self._held) if self._devices.names else self._devices.offered

    def keep(self, count: int) -> None:
        """Keep as many as the job asked for, and let others choose among the rest."""
        for name in list(self._held)[count:]:
            os.close(self._held.pop(name))
        self._let_choose()

    def variables(self) -> dict[str, str]:
        """What to set in the environment of the job's trainer."""
        return self._devices.variables(list(self._held))

    def give_back(self) -> None:
        """Let go of everything."""
        self.keep(0)

    def _let_choose(self) -> None:
        if self._choosing is not None:
            os.close(self._choosing)
            self._choosing = None


class Lender:
    """The devices of a host, as far as its workers share a scratch folder.

    A device is lent as long as a lock on its file is held (flock), which the kernel drops with the process that holds
    it. Trainers do not inherit it: they end with that process, too.
    """

    def __init__(self, devices: Devices, scratch: Path) -> None:
        """Remember what there is to lend.

        Args:
            devices: what this worker may lend.
            scratch: the folder that the host's workers share.
        """
        self._devices = devices
        self._folder = scratch / _FOLDER

    @contextmanager
    def free(self, is_stopping: Callable[[], bool]) -> Iterator[Loan]:
        """All devices that are free now; others wait with their choice until `keep` has said how many are needed.

        Args:
            is_stopping: ends the wait for somebody else's choice, with nothing.

        Raises:
            OSError: the locks cannot be made.
        """
        loan = self._loan(is_stopping)
        try:
            yield loan
        finally:
            loan.give_back()

    def _loan(self, is_stopping: Callable[[], bool]) -> Loan:
        if not self._devices.names:
            return Loan(self._devices, {}, None)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        while (choosing := self._locked(_CHOOSING)) is None:
            if is_stopping():
                return Loan(self._devices, {}, None)
            time.sleep(_LOOK_S)
        held = {name: lock for name in self._devices.names if (lock := self._locked(name)) is not None}
        return Loan(self._devices, held, choosing)

    def _locked(self, name: str) -> int | None:
        """The descriptor of a lock; None if another process has it."""
        path = self._folder / f"{name.replace('/', '-')}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        os.close(descriptor)
        return None
