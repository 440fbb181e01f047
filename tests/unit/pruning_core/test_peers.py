"""The processes of a run on several devices: real ones, which end with the run and end it when they are lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from transformers import AutoModelForSequenceClassification

from pruning_core import Checkpointing, NoSuchDevices, PeerLost, PeerOutOfMemory, Progress, PruningResult, prune
from pruning_core.peers import Order
from pruning_core.tasks.base import DataError
from tests.tiny import reviews, save_tiny_model, tiny_config, tiny_tokenizer
from tests.unit.pruning_core.runs import short_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ON_TWO = {"gpus": 2}
FILES = ("model/model.safetensors", "masks.safetensors")


class Interrupted(Exception):
    """What stops a run once its checkpoint is written."""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def peers() -> list[psutil.Process]:
    """Those of this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "pruning_core.peer" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def run(
    model_dir: Path,
    output: Path,
    on_progress: Callable[[Progress], None],
    *,
    rows: int = 64,
    checkpointing: Checkpointing | None = None,
    resume_from: Path | None = None,
) -> PruningResult:
    return prune(
        model_dir,
        reviews(rows),
        short_spec(training=ON_TWO),
        output,
        evaluation=reviews(40, seed=1),
        on_progress=on_progress,
        checkpointing=checkpointing,
        resume_from=resume_from,
    )


def test_a_run_on_two_devices_goes_on_bit_for_bit_and_leaves_no_process(model_dir: Path, tmp_path: Path) -> None:
    whole: list[Progress] = []
    seen: list[psutil.Process] = []

    def watched(progress: Progress) -> None:
        whole.append(progress)
        seen.extend(peers() if progress.step == 2 else [])

    expected = run(model_dir, tmp_path / "whole", watched)
    assert len(seen) == 1
    assert expected.report["lineage"]["hardware"]["devices"] == 2  # type: ignore[index]  # a report is JSON
    assert not peers()

    before: list[Progress] = []

    def stop(path: Path) -> None:
        raise Interrupted

    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        run(
            model_dir,
            tmp_path / "cut",
            before.append,
            checkpointing=Checkpointing(file, lambda: before[-1].step == 13, stop),
        )
    assert not peers(), "what the run has started ends with it, whatever ends it"
    after: list[Progress] = []
    result = run(model_dir, tmp_path / "resumed", after.append, resume_from=file)
    assert before + after == whole
    assert result.evaluation == expected.evaluation
    for name in FILES:
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_lost_process_ends_the_run_by_name(model_dir: Path, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 3:
            peers()[0].kill()

    with pytest.raises(PeerLost, match=r"device 2 of 2 was ended by signal 9") as caught:
        run(model_dir, tmp_path, kill)
    assert caught.value.signal == signal.SIGKILL
    assert not peers()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_want_of_memory_in_another_process_is_want_of_memory(tmp_path: Path) -> None:
    """It may have hardly more than it has after the first step, and long texts need 16 MiB for each activation."""
    config = tiny_config(intermediate_size=8192, num_labels=2)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    words = [3] * 56 + [60] * 8
    rows = pa.table({"text": [" ".join(["film"] * count) for count in words], "label": ["a", "b"] * 32})

    def starve(progress: Progress) -> None:
        if progress.step == 1:
            [peer] = peers()
            room = peer.memory_info().vms + 8 * 2**20
            peer.rlimit(psutil.RLIMIT_AS, (room, room))

    spec = short_spec(training={**ON_TWO, "max_length": 64, "batch_size": 16})
    with pytest.raises(PeerOutOfMemory, match=r"memory of device 2 of 2"):
        prune(tmp_path / "model", rows, spec, tmp_path / "out", evaluation=rows.slice(0, 4), on_progress=starve)


def test_what_is_told_to_the_process_group_only_the_lead_hears(model_dir: Path, tmp_path: Path) -> None:
    heard: list[int] = []
    before = {sig: signal.signal(sig, lambda signum, frame: heard.append(signum)) for sig in (signal.SIGTERM,)}

    def tell(progress: Progress) -> None:
        if progress.step == 2:
            for process in [psutil.Process(), *peers()]:
                process.send_signal(signal.SIGTERM)

    try:
        run(model_dir, tmp_path, tell)
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
    assert heard == [signal.SIGTERM]


def test_a_mistake_is_told_as_on_one_device(model_dir: Path, tmp_path: Path) -> None:
    rows = pa.table({"text": ["good"] * 9, "label": ["a"] * 9})
    with pytest.raises(DataError, match="one class only"):
        prune(model_dir, rows, short_spec(training=ON_TWO), tmp_path)
    assert not peers()


LEADS = """
import sys
from pathlib import Path
from pruning_core import prune
from tests.tiny import reviews
from tests.unit.pruning_core.runs import short_spec

spec = short_spec(training={"gpus": 2, "max_steps": 100_000})
prune(sys.argv[1], reviews(64), spec, sys.argv[2], on_progress=lambda progress: print(progress.step, flush=True))
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_the_others_end_with_the_lead(frozen: bool, model_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEADS, str(model_dir), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as lead:
        assert lead.stdout is not None
        assert lead.stdout.readline().strip() == "1"
        [peer] = [each for each in psutil.Process(lead.pid).children() if "pruning_core.peer" in each.cmdline()]
        if frozen:
            peer.suspend()
        lead.kill()
        lead.wait()
    deadline = time.monotonic() + 20
    while peer.is_running() and peer.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_more_devices_than_there_are_is_told(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(NoSuchDevices, match=r"training.gpus is 2, and this process can use 1 GPU \("):
        run(model_dir, tmp_path, lambda progress: None)


def test_an_order_is_read_as_it_was_written(model_dir: Path, tmp_path: Path) -> None:
    spec = short_spec("obs", training={"gpus": 3, "batch_size": "auto"}, pruning={"params": {"block_size": 8}})
    rows = pa.table({"text": ["a", "b"], "label": [1, 2], "more": [[1.5], None]})
    order = Order(model_dir, rows, spec, None, [1, True, "x"], None, tmp_path / "checkpoint")
    order.write(tmp_path)
    read = Order.read(tmp_path)
    assert read == order
    assert read.spec.training.auto_batch
