"""The workers' scratch folder, on a small disk of its own that can be filled."""

import errno
import subprocess
from pathlib import Path

_SIZE = "128m"  # twice what a worker wants to see free before it claims a job
_PIECE = bytes(2**20)


class ScratchDisk:
    """A folder on a small tmpfs where mounting is allowed; else an ordinary folder, which `fill` refuses."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self._filling = path / "filling"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)],  # noqa: S607 - wherever the system has it
            check=False,
            capture_output=True,
            text=True,
        )
        self.why_not = mounted.stderr.strip() if mounted.returncode else None

    def fill(self) -> None:
        """Take all the space there is."""
        assert self.why_not is None, self.why_not
        try:
            with self._filling.open("wb", buffering=0) as file:
                while True:
                    file.write(_PIECE)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        """Give the space back."""
        self._filling.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, whoever may still hold a file in it."""
        if self.why_not is None:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)  # noqa: S607
