"""What a worker has to train on, told without torch: CUDA does not survive a fork."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

_ANSWER_WITHIN_S = 30.0


@dataclass(frozen=True)
class Devices:
    """What jobs can be lent, each to one job at a time.

    Attributes:
        names: GPUs as CUDA_VISIBLE_DEVICES calls them, or the parts of a CPU. Without any, jobs train on whatever is
            there, and nothing is lent.
        gpus: whether trainers may see GPUs at all.
    """

    names: tuple[str, ...] = ()
    gpus: bool = True

    @property
    def offered(self) -> int:
        """The most that a job may ask for. One that asks for 1 runs on whatever is there."""
        return max(1, len(self.names))

    def variables(self, lent: Sequence[str]) -> dict[str, str]:
        """What to set in the environment of a trainer that is lent these."""
        if not self.gpus:
            return {"CUDA_VISIBLE_DEVICES": ""} | self._threads(len(lent))
        return {"CUDA_VISIBLE_DEVICES": ",".join(lent)} if lent else {}

    def _threads(self, parts: int) -> dict[str, str]:
        """As many of the cores as parts of the CPU, unless the operator has said how many."""
        if not parts or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, _cores() * parts // len(self.names)))}


def devices_of(setting: Literal["auto"] | int | str) -> Devices:
    """What a worker has.

    Args:
        setting: `auto` for the GPUs that this process can see; how many of them, 0 for none; or `cpu:N` for the CPU in
            N parts.
    """
    if setting == "auto":
        return Devices(visible_gpus())
    if isinstance(setting, str):
        return Devices(tuple(f"cpu-{part}" for part in range(int(setting.removeprefix("cpu:")))), gpus=False)
    if setting == 0:
        return Devices(gpus=False)
    # Where nobody tells what there is, such as without NVIDIA's driver, the operator is taken at their word.
    return Devices((visible_gpus() or tuple(map(str, range(setting))))[:setting])


@cache
def visible_gpus() -> tuple[str, ...]:
    """The GPUs that CUDA would show to this process, by names that it understands."""
    # It hides GPUs from CUDA and not from nvidia-smi, and everything from the first invalid entry on.
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        entries = [entry.strip() for entry in chosen.split(",")]
        end = next((index for index, entry in enumerate(entries) if entry in ("", "-1")), len(entries))
        return tuple(entries[:end])
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"],  # noqa: S607 - where the driver puts it differs, and PATH is the operator's own
            capture_output=True,
            text=True,
            check=True,
            timeout=_ANSWER_WITHIN_S,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()  # no driver
    # "GPU 0: NVIDIA H100 (UUID: GPU-…)"; below it those parts of it (MIG) that CUDA chooses from by itself. Numbers
    # would not do: CUDA counts the fastest first.
    lines = [line for line in listing.splitlines() if line.startswith("GPU ")]
    return tuple(line.rpartition("UUID: ")[2].rstrip(")") for line in lines)


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
