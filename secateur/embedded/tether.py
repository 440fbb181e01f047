"""Runs a command that ends with its parent: `python tether.py PARENT_PID COMMAND…`.

Run by its path, so that nothing but the standard library is imported. On Linux the kernel kills the command as soon as
the thread that started it is gone (PR_SET_PDEATHSIG), even when that was by `kill -9`; elsewhere only an orderly stop
ends it. It is asked for here, between fork and exec, because Python code in the forked child (`preexec_fn`) may
deadlock when the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Bind this process to its parent, then become the command."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
        if os.getppid() != parent:
            # The parent died before the kernel knew; its signal will never come.
            sys.exit("The parent process has already ended.")
    os.execv(command[0], command)  # noqa: S606  (an argument list, no shell)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
