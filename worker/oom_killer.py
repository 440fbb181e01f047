"""Whether the kernel has killed for want of memory: a SIGKILL alone does not say who sent it."""

from pathlib import Path


def oom_kills(statistics: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes of this host the kernel has killed for want of memory so far; None where it does not say."""
    try:
        lines = statistics.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
