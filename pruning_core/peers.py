"""What the rank that leads does about the others: starts a process for each, watches them, and ends them.

They are programs of their own, started anew: CUDA does not survive a fork, and a script that calls `prune` without a
`__main__` guard must not be run once more in each, as `multiprocessing` would.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pyarrow as pa
import torch
import torch.distributed as dist
from torch.distributed import FileStore  # type: ignore[attr-defined]  # not among what the stubs export

from pruning_core.precision import best_device
from pruning_core.ranks import Group, ManyRanks, OneRank
from pruning_core.spec import PruningSpec
from pruning_core.tasks.base import Label

#: What the process group of a run is told, and which therefore only the rank that leads may hear.
UNHEARD = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_LOOK_S = 0.05
_MEETING = "meeting"
#: A rank may wait as long as it takes: for an evaluation, a database that is away, a group that stands still (SIGSTOP).
#: Who waits in vain is found by whoever watches the run, not by a timeout here.
_PATIENCE = timedelta(days=30)
#: How long a process that is through with its work may take to leave.
_LEAVE_S = 30.0


class PeerExit(IntEnum):
    """How a peer ends where it is not through; 1 is any other error."""

    OUT_OF_MEMORY = 70


class NoSuchDevices(ValueError):
    """The run asks for more devices than there are."""


class PeerLost(RuntimeError):
    """A process of the run has ended before its time.

    Attributes:
        signal: what it was ended by; None where it ended by itself.
    """

    def __init__(self, rank: int, size: int, code: int) -> None:
        """Say which, and how."""
        self.signal = -code if code < 0 else None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"The process for device {rank + 1} of {size} {how}, and the run cannot go on without it.")


class PeerOutOfMemory(MemoryError):
    """A process of the run did not find the memory that it needs."""


@dataclass(frozen=True)
class Order:
    """All that a run's result depends on, as each of its processes is given it.

    Attributes:
        model: a local Hugging Face model directory.
        train: rows to learn from.
        spec: method, target and training.
        evaluation: rows to judge on; None where some of `train` are held out.
        labels: class labels in the order of their ids; None for those in the tables.
        teacher: a model directory, where the spec names another teacher than `self`.
        resume_from: a checkpoint to go on from.
    """

    model: Path
    train: pa.Table
    spec: PruningSpec
    evaluation: pa.Table | None
    labels: Sequence[Label] | None
    teacher: Path | None
    resume_from: Path | None

    def write(self, folder: Path) -> None:
        """Write it down for `read`."""
        for name in ("train", "evaluation"):
            table = getattr(self, name)
            if table is not None:
                with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
                    out.write_table(table)
        document = {
            "model": str(self.model.absolute()),
            "spec": self.spec.model_dump(mode="json"),
            "labels": None if self.labels is None else list(self.labels),
            "teacher": self.teacher and str(self.teacher.absolute()),
            "resume_from": self.resume_from and str(self.resume_from.absolute()),
        }
        (folder / "order.json").write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Order":
        """Read what `write` has written; the tables stay in the files, which all processes share."""
        document = json.loads((folder / "order.json").read_text(encoding="utf-8"))
        tables = {
            name: pa.ipc.open_file(pa.memory_map(str(file))).read_all() if file.exists() else None
            for name, file in ((name, folder / f"{name}.arrow") for name in ("train", "evaluation"))
        }
        return cls(
            Path(document["model"]),
            tables["train"],
            PruningSpec.model_validate(document["spec"]),
            tables["evaluation"],
            document["labels"],
            document["teacher"] and Path(document["teacher"]),
            document["resume_from"] and Path(document["resume_from"]),
        )


@contextmanager
def gathered(order: Order) -> Iterator[OneRank]:
    """The ranks of a run, for the one that leads; the others are working on the same order.

    Raises:
        NoSuchDevices: there are not as many as the spec asks for.
        PeerLost: a process ended before it was ready.
    """
    size = order.spec.training.gpus
    if size == 1:
        yield OneRank(best_device())
        return
    _require_devices(size)
    threads = torch.get_num_threads()
    with TemporaryDirectory(prefix="ranks-") as name:
        folder = Path(name)
        order.write(folder)
        torch.set_num_threads(max(1, threads // size))  # together they have the cores that one would have
        peers = Peers(folder, size)
        try:
            peers.wait_until_ready()
            group = join(folder, 0, size)
            peers.release_when_lost(group)
            yield ManyRanks(device_of(0), group, peers.lost)
            peers.wait_until_through()
        finally:
            peers.end()
            torch.set_num_threads(threads)


def join(folder: Path, rank: int, size: int) -> Group:
    """Become one of the ranks that meet in a folder; returns when all have come."""
    store = FileStore(str(folder / _MEETING), size)
    store.set(_ready(rank), "")
    if device_of(rank).type == "cuda":
        torch.cuda.set_device(device_of(rank))
        # It would take a group that stood still for minutes (SIGSTOP) for one that hangs.
        os.environ.setdefault("TORCH_NCCL_ENABLE_MONITORING", "0")
        nccl = dist.ProcessGroupNCCL.Options()
        nccl._timeout = _PATIENCE
        return cast(Group, dist.ProcessGroupNCCL(store, rank, size, nccl))
    gloo = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # the stubs leave it out
    gloo._timeout = _PATIENCE
    gloo._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
    return cast(Group, dist.ProcessGroupGloo(store, rank, size, gloo))


def device_of(rank: int) -> torch.device:
    """The device of a rank: a GPU of its own, or the CPU, which ranks without GPUs share."""
    device = best_device()
    return torch.device(device.type, rank) if device.type == "cuda" else device


class Peers:
    """The processes of the other ranks."""

    def __init__(self, folder: Path, size: int) -> None:
        """Start them, tied to us: they end with us, however we end.

        Args:
            folder: where the order is, and where the ranks meet.
            size: how many ranks there are, ours among them.
        """
        self._folder = folder
        self._size = size
        self._ended = threading.Event()
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        environment = os.environ | {"PYTHONPATH": path}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        # What is blocked here is blocked there from the first moment on: a signal to the group must not end one that
        # has not yet said that it does not listen.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)
        try:
            for rank in range(1, size):
                command = [sys.executable, "-m", "pruning_core.peer", str(folder), str(rank), str(size)]
                command.append(str(torch.get_num_threads()))
                self._processes[rank] = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        except BaseException:
            self.end()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def lost(self, patience_s: float = 0.0) -> Exception | None:
        """What has become of the first that has ended before its time, now or within so many seconds."""
        deadline = time.monotonic() + patience_s
        while True:
            for rank, process in self._processes.items():
                code = process.poll()
                if code == PeerExit.OUT_OF_MEMORY:
                    return PeerOutOfMemory(f"The memory of device {rank + 1} of {self._size} did not suffice.")
                if code:
                    return PeerLost(rank, self._size, code)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_S)

    def wait_until_ready(self) -> None:
        """Return when all are about to join.

        Raises:
            PeerLost: one never will be.
        """
        store = FileStore(str(self._folder / _MEETING), self._size)
        while not store.check([_ready(rank) for rank in self._processes]):
            if error := self.lost(_LOOK_S):
                raise error

    def wait_until_through(self) -> None:
        """Let them leave by themselves."""
        deadline = time.monotonic() + _LEAVE_S
        while time.monotonic() < deadline and any(process.poll() is None for process in self._processes.values()):
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """End those that are still there."""
        self._ended.set()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def release_when_lost(self, group: Group) -> None:
        """Leave the group as soon as one has ended before its time.

        A GPU that waits for a rank which is gone waits for ever, and with it who asks for a number from it.
        """

        def watch() -> None:
            while not self._ended.wait(_LOOK_S):
                if self.lost():
                    group.abort()
                    return

        if device_of(0).type == "cuda":  # on a CPU the connection breaks, and says so
            threading.Thread(target=watch, name="peers", daemon=True).start()


def _require_devices(size: int) -> None:
    found = torch.cuda.device_count() if best_device().type == "cuda" else size
    if found < size:
        raise NoSuchDevices(
            f"training.gpus is {size}, and this process can use {found} GPU{'s' if found > 1 else ''} "
            "(CUDA_VISIBLE_DEVICES says which). Lower it, or run where there are as many."
        )


def _ready(rank: int) -> str:
    return f"ready/{rank}"
