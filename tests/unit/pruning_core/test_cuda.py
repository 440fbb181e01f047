"""What only a GPU can show; `test_hot_path.py` and `test_selection.py` show the same code's other sides on a CPU."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pruning_core import prune
from pruning_core.architectures import ARCHITECTURES
from pruning_core.methods import METHODS
from pruning_core.peers import device_of, join
from pruning_core.ranks import ManyRanks
from pruning_core.selection import select_global, select_top
from pruning_core.training import FineTuning
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import short_run, short_spec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: nothing here was tried on CUDA")

#: Their forward pass, as transformers has it, makes the host wait whoever calls it.
WAITING = {name for name, architecture in ARCHITECTURES.items() if not architecture.takes_finished_mask}


@pytest.fixture
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CUDA itself refuses to let the host wait within an optimizer step."""
    step = FineTuning.step

    def guarded(phase: FineTuning, number: int) -> torch.Tensor:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(phase, number)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(FineTuning, "step", guarded)
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.usefixtures("nothing_waits")
class TestTheHostNeverWaits:
    @pytest.mark.parametrize("method", METHODS)
    def test_whatever_the_method(self, method: str, tmp_path: Path) -> None:
        short_run(save_tiny_model(tmp_path / "model"), tmp_path, short_spec(method, training={"precision": "auto"}))

    @pytest.mark.parametrize("granularity", ["row", {"block": [8, 8]}, "head", "hybrid", "structured", "2:4"], ids=str)
    def test_whatever_is_removed(self, granularity: object, tmp_path: Path) -> None:
        spec = short_spec(target_sparsity=0.5, pruning={"granularity": granularity})
        short_run(save_tiny_model(tmp_path / "model"), tmp_path, spec)

    @pytest.mark.parametrize("family", sorted(ARCHITECTURES.keys() - WAITING))
    def test_whatever_the_family(self, family: str, tmp_path: Path) -> None:
        short_run(save_tiny_model(tmp_path / "model", family), tmp_path, short_spec())

    def test_with_a_teacher_and_its_hidden_states(self, tmp_path: Path) -> None:
        spec = short_spec(training={"dense_baseline": True}, distillation={"teacher": "self", "hidden": 1.0})
        short_run(save_tiny_model(tmp_path / "model"), tmp_path, spec)


@pytest.mark.parametrize("keep", [1, 40, 30_000, 99_999])
def test_gpu_and_cpu_choose_the_same(keep: int) -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(keep)).round(decimals=2)  # with many ties
    slices = [slice(0, 10), slice(10, 60_000), slice(60_000, 100_000)]
    values[slices[0]] = -100.0
    for select in (select_top, lambda v, k, out: select_global(v, slices, k, out)):
        masks = [torch.zeros(len(values), dtype=torch.bool, device=device) for device in ("cpu", "cuda")]
        for mask in masks:
            select(values.to(mask.device), keep, mask)
        assert torch.equal(masks[0], masks[1].cpu())


def test_a_run_gives_the_same_twice(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    for name in "ab":
        prune(model, reviews(96), short_spec(), tmp_path / name, evaluation=reviews(40, seed=1), illustrated=False)
    one, other = ((tmp_path / name / "masks.safetensors").read_bytes() for name in "ab")
    assert one == other


def test_nccl_joins_the_ranks(tmp_path: Path) -> None:
    """A group of one: that every call is one that NCCL knows. Two ranks want two GPUs."""
    group = join(tmp_path, 0, 1)
    ranks = ManyRanks(device_of(0), group)
    large, small, flags = (torch.ones(n, device="cuda") for n in (2**19, 3, 1))
    ranks.add_up([large, small])
    assert ranks.agree(lambda: [large, small, flags.bool()])
    assert float(large.sum() + small.sum()) == 2**19 + 3
    group.abort()
