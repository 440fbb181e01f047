"""How many GPUs a worker offers, told without torch: CUDA does not survive a fork."""

import os
import subprocess
from functools import cache
from typing import Literal

_ANSWER_WITHIN_S = 30.0


def offered_gpus(setting: Literal["auto"] | int) -> int:
    """Return the most GPUs that a job may ask of this worker; at least 1.

    A job that asks for 1 runs on whatever is there, a CPU included.

    Args:
        setting: the number, or `auto` for those that this process can see.
    """
    return max(1, visible_gpus() if setting == "auto" else setting)


@cache
def visible_gpus() -> int:
    """Count the GPUs that CUDA would show to this process."""
    # It hides GPUs from CUDA and not from nvidia-smi, and everything from the first invalid entry on.
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        entries = [entry.strip() for entry in chosen.split(",")]
        return next((index for index, entry in enumerate(entries) if entry in ("", "-1")), len(entries))
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"],  # noqa: S607 - where the driver puts it differs, and PATH is the operator's own
            capture_output=True,
            text=True,
            check=True,
            timeout=_ANSWER_WITHIN_S,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0  # no driver
    return sum(line.startswith("GPU ") for line in listing.splitlines())
