"""Want of memory: real failed allocations, and what is advised."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pruning_core.memory import is_out_of_memory
from pruning_core.settings import Training
from worker.memory import advice, largest_that_fits
from worker.oom_killer import oom_kills


def test_a_failed_allocation_on_the_host_is_known_for_what_it_is() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.float32)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_under_a_real_limit_the_largest_batch_that_fits_is_found() -> None:
    """Each example takes 64 MiB of a process that may have some 600 MiB more than it has now."""
    script = """
import resource, psutil, torch
from worker.memory import largest_that_fits
room = psutil.Process().memory_info().vms + 600 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
print(largest_that_fits(64, lambda size: torch.zeros(size, 16 * 2**20)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) in {4, 8}


def test_other_errors_of_a_probe_are_not_swallowed() -> None:
    def broken(size: int) -> None:
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        largest_that_fits(8, broken)


def test_nothing_fits() -> None:
    def never(size: int) -> None:
        raise MemoryError

    assert largest_that_fits(8, never) is None
    assert "Not even one fits" in advice(Training(batch_size=8), None)


def test_each_of_several_devices_needs_an_example() -> None:
    tried: list[int] = []

    def never(size: int) -> None:
        tried.append(size)
        raise MemoryError

    assert largest_that_fits(32, never, least=4) is None
    assert tried == [16, 8, 4]
    auto = Training(batch_size=8, auto_batch=True, gpus=4)
    assert "half as many" in advice(auto, None)
    assert "Not even one a device fits" in advice(auto.model_copy(update={"batch_size": 4}), None)


def test_a_batch_of_auto_begins_with_32_and_stays_auto_as_the_service_stores_it() -> None:
    training = Training.model_validate({"batch_size": "auto"})
    assert (training.batch_size, training.auto_batch) == (32, True)
    assert Training.model_validate(training.model_dump()) == training


def test_the_kernels_count_is_read_where_there_is_one(tmp_path: Path) -> None:
    statistics = tmp_path / "vmstat"
    statistics.write_text("nr_free_pages 12\noom_kill 3\nother 4\n")
    assert oom_kills(statistics) == 3
    statistics.write_text("nr_free_pages 12\n")
    assert oom_kills(statistics) is None
    assert oom_kills(tmp_path / "absent") is None
