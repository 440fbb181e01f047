"""Between two points of the curve the host never waits for the device.

All runs here lie on torch's `meta` device: it is not a CPU, so the code takes its way for accelerators, and it has no
numbers, so whatever would bring one to the host (`item`, `tolist`, `bool`, `nonzero`, a copy to the CPU) fails. What
meta does not mind but CUDA would wait for is forbidden by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pruning_core.methods import METHODS
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank
from pruning_core.schedule import Schedule, Shape
from tests.tiny import tiny_model
from tests.unit.pruning_core.runs import short_spec


class Waits(AssertionError):
    """The host would wait for the device here."""


class NothingWaits(TorchFunctionMode):
    """Forbids the calls that make CUDA's host wait without looking at a number."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        device = kwargs.get("device")
        if name in {"tensor", "as_tensor"} and device is not None and torch.device(device).type != "cpu":
            raise Waits(f"torch.{name}(…, device=…) copies from pageable memory and waits; use .to(non_blocking=True)")
        if name in {"linalg_solve", "linalg_inv", "linalg_cholesky", "linalg_lstsq"}:
            raise Waits(f"torch.{name} reads its error code; use {name}_ex")
        if name == "to" and isinstance(args[0], Tensor) and args[0].device.type == "cpu":
            places = [arg for arg in (*args[1:], device) if isinstance(arg, torch.device | str)]
            if any(torch.device(place).type != "cpu" for place in places) and not kwargs.get("non_blocking"):
                raise Waits("a blocking copy to the device")
        return func(*args, **kwargs)


def steps(method: str, *, sparsity: float = 0.9, total: int = 12, **pruning: object) -> None:
    """A whole run of optimizer steps, evaluations included, without model and data."""
    if method == "rewind":
        pruning["params"] = {"rounds": 1}  # its parts have five steps at least
    changes: dict[str, object] = {"pruning": pruning}
    if method not in {"head", "layerdrop"}:
        changes["target_sparsity"] = sparsity
    spec = short_spec(method, **changes)
    shape: Shape = "one_shot" if method == "wanda" else "cubic"
    schedule = spec.new_method().plan(Schedule(shape, total, 2, 4, spec.final_density))
    model = tiny_model()
    model.to(torch.device("meta"))  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
    pruner = Pruner(model, spec, schedule)
    weights = pruner.weights
    if weights.method.calibrates:
        weights.input_norms = {m.name: torch.ones(m.parameter.shape[1], device="meta") for m in weights.matrices}
    others = list(model.get_submodule("classifier").parameters())
    trained = [*others, *weights.trained, *weights.trained_scores]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    with NothingWaits():
        pruner.begin()
        weights.method.attend(others, optimizer)
        for step in range(total):
            if weights.method.wants_curvature():
                ids = torch.zeros(2, 4, dtype=torch.long, device="meta")
                loss = model(input_ids=ids, labels=ids[:, 0]).loss
                weights.method.measure_curvature(loss, OneRank(loss.device).add_up)
            pruner.before_optimizer_step(others, 1.0)
            weights.method.learning_rate_factor(step)
            optimizer.step()
            pruner.after_optimizer_step(step + 1, 1e-3)
            with pruner.as_shipped():
                pass
            weights.method.metrics()


@pytest.mark.parametrize("method", METHODS)
def test_no_method_makes_the_host_wait(method: str) -> None:
    steps(method)


@pytest.mark.parametrize("scope", ["global", "local", "budget"])
def test_no_scope_makes_the_host_wait(scope: str) -> None:
    steps("movement", scope=scope)


@pytest.mark.parametrize(
    ("granularity", "scope"),
    [
        ("row", "global"),
        ("column", "local"),
        ({"block": [7, 5]}, "global"),
        ("head", "local"),
        ("hybrid", "local"),
        ("structured", "global"),
        ("layer", "global"),
        ("2:4", "global"),
    ],
    ids=str,
)
def test_no_granularity_makes_the_host_wait(granularity: object, scope: str) -> None:
    steps("movement", sparsity=0.5, granularity=granularity, scope=scope)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.learns_scores])
def test_frozen_weights_do_not_make_the_host_wait(method: str) -> None:
    steps(method, freeze_weights=True)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: int(x[0]),
        lambda x: torch.tensor([1.0], device="meta"),
        lambda x: torch.ones(2).to("meta"),
        lambda x: torch.linalg.solve(x.view(2, 2), x.view(2, 2)),
    ],
)
def test_this_test_notices_a_host_that_waits(wait: Callable[[Tensor], object]) -> None:
    with NothingWaits(), pytest.raises((RuntimeError, NotImplementedError, Waits)):
        wait(torch.ones(4, device="meta"))
