"""One of the other processes of a run on several devices: does all that the leading one does, and tells nobody."""

import gc
import os
import signal
import sys
import threading
import traceback
from pathlib import Path


def _end_with_the_lead() -> None:
    """End when stdin closes: the process that leads holds the other end."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def main(folder: Path, rank: int, size: int, threads: int) -> int:
    """Take part in a run.

    Args:
        folder: where its order is, and where its ranks meet.
        rank: which one this is.
        size: how many there are.
        threads: to compute with on a CPU.

    Returns:
        The exit code.
    """
    _end_with_the_lead()
    gc.disable()  # what is imported stays: looking through it again and again takes a second
    import torch
    from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]  # torch uses it so itself

    # Also when it is stopped and reads nothing. Does nothing but on Linux.
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    from transformers.utils import logging as transformers_logging

    from pruning_core.memory import is_out_of_memory
    from pruning_core.peers import UNHEARD, Order, PeerExit, device_of, join
    from pruning_core.ranks import ManyRanks
    from pruning_core.run import Run

    gc.freeze()
    gc.enable()
    for sig in UNHEARD:
        signal.signal(sig, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEARD)
    torch.set_num_threads(threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        Run(Order.read(folder), ManyRanks(device_of(rank), join(folder, rank, size))).all_phases()
    except Exception as error:  # noqa: BLE001 - whatever it is, the lead must hear of it
        traceback.print_exc()
        return PeerExit.OUT_OF_MEMORY if is_out_of_memory(error) else 1
    return 0


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at once: the lead waits, and an interpreter takes its time to clear up what ends with it anyway
