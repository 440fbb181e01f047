"""Passes shared among threads give what one thread gives, whatever the number of values."""

import gc
import signal
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from pruning_core.noise import write_uniform
from pruning_core.products import fill_where, multiply_by_mask, norm_of
from pruning_core.pruner import clip
from pruning_core.selection import select_top
from pruning_core.threads import PART, in_parts, on_threads

SIZES = [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["one", "torch's", "a pool's"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1 if request.param == "one" else 3)
    if request.param == "a pool's":
        monkeypatch.setattr("pruning_core.threads._openmp", lambda: None)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", SIZES)
def test_parts_cover_everything_once_and_in_order(size: int) -> None:
    everything = np.arange(size)
    parts = [np.empty(0), *in_parts(size, lambda part: everything[part])]
    assert np.array_equal(np.concatenate(parts), everything)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch may have another OpenMP library")
def test_work_is_done_by_torchs_threads_and_by_several() -> None:
    torch.set_num_threads(3)
    before = set(threading.enumerate())
    met = threading.Barrier(3)

    def work(item: int) -> tuple[int, int]:
        met.wait(timeout=30)  # breaks where fewer than three are at it
        values = torch.ones(1 << 20)  # torch would share this among its threads
        return threading.get_native_id(), item + int(values.sum()) - (1 << 20)

    done = on_threads([5, 6, 7], work)
    assert [item for _, item in done] == [5, 6, 7]
    assert len({thread for thread, _ in done}) == 3
    assert set(threading.enumerate()) == before, "a thread was started, where torch's would have done"


@pytest.mark.usefixtures("threads")
def test_an_interrupt_ends_the_work_and_reaches_the_caller() -> None:
    def work(item: int) -> None:
        if item == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_threads(range(50), work)
    assert on_threads(range(3), str) == ["0", "1", "2"]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_signal_is_lost_whenever_it_comes(threads: int) -> None:
    """Most come while C is at work, and their handler runs when Python's function is entered, before its first line."""
    torch.set_num_threads(threads)

    def work(item: int) -> float:
        return float(values[item].sum())

    class Alarm(BaseException):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    values = np.ones((6, 300_000), np.float32)
    random = np.random.default_rng(0)
    before, heard = signal.signal(signal.SIGALRM, ring), 0
    gc.disable()  # hypothesis listens to it, with a Python function whose exceptions nobody hears
    try:
        for _ in range(150):
            deadline = time.monotonic() + 10
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 2e-3))
                while time.monotonic() < deadline:
                    on_threads(range(6), work)
            except Alarm:
                heard += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert heard == 150


@pytest.mark.usefixtures("threads")
def test_a_failure_in_a_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        in_parts(3 * PART, lambda part: 1 / (part.start - PART))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", SIZES)
def test_products_and_fills_are_torchs(size: int) -> None:
    values, mask = torch.randn(size), torch.rand(size) < 0.3
    out = torch.full_like(values, torch.nan)
    multiply_by_mask(values, mask, out=out)
    assert torch.equal(out, values * mask)
    rounded = torch.full_like(values, torch.nan, dtype=torch.bfloat16)
    multiply_by_mask(values, mask, out=rounded)
    assert torch.equal(rounded, (values * mask).bfloat16())
    widened = torch.full_like(values, torch.nan)
    multiply_by_mask(values.bfloat16(), mask, out=widened)
    assert torch.equal(widened, values.bfloat16() * mask)
    assert float(norm_of(values)) == pytest.approx(np.linalg.norm(values.double().numpy()), rel=1e-4)
    filled = values.clone()
    fill_where(filled, mask, 2.5)
    assert torch.equal(filled, values.masked_fill(mask, 2.5))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_a_selection_over_several_parts_is_a_sorts(share: float, tied: bool) -> None:
    size = 2 * PART + 12_345
    values = torch.randn(size, generator=torch.Generator().manual_seed(1))
    values = values.mul(20).round() if tied else values
    keep, out = round(share * size), torch.empty(size, dtype=torch.bool)
    select_top(values, keep, out)
    assert int(out.sum()) == keep
    assert values[out].min() >= values[~out].max()


def test_uniform_numbers_follow_from_torchs_generator_on_any_number_of_threads() -> None:
    drawn = []
    for count in (1, 2):
        torch.set_num_threads(count)
        torch.manual_seed(7)
        out = torch.empty(2 * PART + 5)
        write_uniform(out)
        drawn.append(out)
    assert torch.equal(*drawn)
    again = torch.empty_like(drawn[0])
    write_uniform(again)
    assert not torch.equal(again, drawn[0]), "the generator went on"


def test_uniform_numbers_are_uniform_also_across_parts() -> None:
    torch.manual_seed(3)
    out = torch.empty(2 * PART + 5)
    write_uniform(out)
    assert float(out.min()) > 0.0
    assert float(out.max()) < 1.0
    assert torch.isfinite(out.log() - (1 - out).log()).all()
    assert scipy.stats.kstest(out.numpy()[::7], "uniform").pvalue > 1e-3
    first, second = out[:PART].numpy(), out[PART : 2 * PART].numpy()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.999999, 1.0, 1.0000001, 50.0, float("inf"), float("nan")])
def test_clipping_is_torchs_to_the_bit(scale: float) -> None:
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    gradient = gradient / gradient.norm() * scale
    ours, theirs = (nn.Parameter(torch.zeros(1000)) for _ in range(2))
    ours.grad, theirs.grad = gradient.clone(), gradient.clone()
    norms = [nn.utils.get_total_norm([ours.grad])]
    norm, expected = clip([ours], norms, 1.0), nn.utils.clip_grad_norm_([theirs], 1.0)
    torch.testing.assert_close(norm, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=0, equal_nan=True)
