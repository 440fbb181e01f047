"""A second rank that takes part in one run after another: a process of its own, without a process's start for each.

It reads a folder a line, as `pruning_core.peer` is given one, and answers each with a line when the run is over.
"""

import sys
from pathlib import Path

import torch
from transformers.utils import logging

from pruning_core.peers import Order, device_of, join
from pruning_core.ranks import ManyRanks
from pruning_core.run import Run

if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    print("ready", flush=True)
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        Run(Order.read(folder), ManyRanks(device_of(1), join(folder, 1, 2))).all_phases()
        print("done", flush=True)
