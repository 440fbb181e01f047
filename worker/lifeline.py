"""Processes that end with their parent, so that no crash leaves an orphan training on a machine."""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send us `sig` when the thread that started us ends (Linux, prctl(2)); elsewhere do nothing."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sig) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended between our start and the call
        os.kill(os.getpid(), sig)


def die_at_end_of_stdin() -> None:
    """Kill our process group when stdin closes: the parent holds the other end, and its death closes it.

    This covers what PDEATHSIG does not: other systems than Linux, and our own children (data loaders).
    """

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
