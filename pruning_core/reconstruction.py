"""Layer-wise reconstruction: what a cut leaves of each matrix, fitted by least squares to what the dense model says.

Matrix by matrix, in the order in which the model computes, each row's kept weights and its bias are chosen so that from
what the *pruned* layers before it now say comes what the *dense* model says in its place, on some training rows:
min Σ‖w·x̂ + b - y‖² + Σ λᵢ(wᵢ - w₀ᵢ)². That inputs are the pruned model's and targets the dense one's, so that a layer
makes up for what those before it have lost, is from He et al. 2017 (arXiv 1707.06168, section 3.2), for channels;
fitting single weights under a mask, row by row, is Optimal Brain Compression's and SparseGPT's problem (Frantar &
Alistarh, arXiv 2208.11580, 2301.00774), solved here exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.evaluation import Tick, accepted, nobody_waits
from pruning_core.masking import MaskedWeights
from pruning_core.products import mark
from pruning_core.tasks.base import Batch, EncodedSplit, Task

#: Looked at: no more rows than this, and no more tokens once they are padded. They go through the model together.
ROWS, TOKENS = 256, 8192
#: λ, as a share of each input's square, so that none of large values holds the others where they are; of no less than
#: shares of their median and mean, for what hardly changes would be made to explain anything; and at the least.
RIDGE, OF_MEDIAN, OF_MEAN, _LEAST_PULL = 1e-2, 0.1, 1e-2, 1e-10
#: And the square of a share of its mean, four times what rounding to bf16 may change: on noise nothing is to be built.
ROUNDING = 2.0**-6
#: Numbers of the systems of equations that are solved together.
_TOGETHER = 1 << 22


def some_rows(tokenizer: PreTrainedTokenizerBase, task: Task, split: EncodedSplit, seed: int) -> Batch:
    """One batch of training rows, chosen by lot: as many as there are tokens for, one at least."""
    items = np.random.default_rng(seed).permutation(len(split))[:ROWS]
    longest = np.maximum.accumulate(split.lengths[items])
    fitting = int(np.count_nonzero(longest * np.arange(1, len(items) + 1) <= TOKENS))
    return task.collate(tokenizer, [split[int(item)] for item in items[: max(1, fitting)]])


@dataclass
class Moments:
    """Sums over tokens, of which a least-squares fit is made; inputs and targets are counted from a point near them.

    Attributes:
        inputs: [in] where inputs are counted from, `targets`, [out], where targets are; zeros without a free bias.
        among: [in, in] Σ x xᵀ.
        across: [in, out] Σ x yᵀ.
        x: [in] Σ x, `y`, [out], Σ y.
        count: tokens.
    """

    inputs: Tensor
    targets: Tensor
    among: Tensor = field(init=False)
    across: Tensor = field(init=False)
    x: Tensor = field(init=False)
    y: Tensor = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        """Nothing is summed up yet."""
        self.x, self.y = torch.zeros_like(self.inputs), torch.zeros_like(self.targets)
        self.among = self.x.new_zeros(len(self.x), len(self.x))
        self.across = self.x.new_zeros(len(self.x), len(self.y))

    def add(self, x: Tensor, y: Tensor) -> None:
        """Count some more tokens: [tokens, in] and [tokens, out]."""
        x, y = x - self.inputs, y - self.targets
        self.among.addmm_(x.T, x)
        self.across.addmm_(x.T, y)
        self.x += x.sum(dim=0)
        self.y += y.sum(dim=0)
        self.count += len(x)


def fit(moments: Moments, weight: Tensor, kept: Tensor, *, biased: bool) -> tuple[Tensor, Tensor | None]:
    """The kept weights of each row, and its bias, that come nearest to the targets; weights elsewhere are zero.

    Args:
        moments: of inputs and targets; where `biased` is False, counted from zero, and targets without the bias.
        weight: [out, in] what weights are pulled towards, as far as inputs do not say otherwise.
        kept: [out, in] bool.
        biased: whether biases are free.

    Returns:
        [out, in] and, where biased, [out].
    """
    among, across = moments.among, moments.across
    mean_x, mean_y = moments.x / moments.count, moments.y / moments.count
    x, y = moments.inputs + mean_x, moments.targets + mean_y
    if biased:
        among = among - moments.count * torch.outer(mean_x, mean_x)
        across = across - moments.count * torch.outer(mean_x, mean_y)
    fitted = torch.where(kept, weight, 0.0)
    rest = across - among @ fitted.T  # [in, out]: what is left to be explained
    squares = among.diagonal()
    usual = torch.maximum(OF_MEDIAN * squares.median(), OF_MEAN * squares.mean())
    pull = RIDGE * torch.maximum(squares, usual) + moments.count * (ROUNDING * x).square()  # [in]
    pull = pull.clamp(min=_LEAST_PULL)
    scale = (squares + pull).rsqrt()  # systems in units in which each input is as large as the others
    counts = kept.sum(dim=1)
    order = counts.argsort()
    start = 0
    while start < len(order):
        # Rows with about as many kept weights are solved together, each system filled up with x = 0.
        size = max(1, _TOGETHER // max(1, int(counts[order[-1]])) ** 2)
        rows = order[start : start + size]
        start += size
        most = int(counts[rows[-1]])
        if not most:
            continue
        places = kept[rows].to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]  # [rows, most]
        there = torch.arange(most, device=kept.device) < counts[rows].unsqueeze(1)
        units = torch.where(there, scale[places], 0.0)
        systems = among[places.unsqueeze(2), places.unsqueeze(1)]
        systems.diagonal(dim1=1, dim2=2).add_(pull[places])
        systems *= units.unsqueeze(2) * units.unsqueeze(1)
        systems.diagonal(dim1=1, dim2=2).add_((~there).float())
        wanted = rest[places, rows.unsqueeze(1)] * units
        factors, failed = torch.linalg.cholesky_ex(systems)
        found = torch.cholesky_solve(wanted.unsqueeze(2), factors).squeeze(2) * units
        # Where squares are beyond fp32 nothing can be solved, and weights stay as they were.
        solved = there & (failed == 0).unsqueeze(1) & found.isfinite().all(dim=1, keepdim=True)
        fitted[rows] = fitted[rows].scatter_add(1, places, found.where(solved, 0.0))
    if not biased:
        return fitted, None
    return fitted, y - fitted @ x


@torch.no_grad()
def reconstruct(
    weights: MaskedWeights,
    model: PreTrainedModel,
    dense: PreTrainedModel,
    batch: Batch,
    *,
    bf16: bool,
    tick: Tick = nobody_waits,
) -> None:
    """Fit what is left of all matrices, and their biases, to the dense model; masks stay as they are.

    Args:
        weights: of the pruned model, with the masks to fit under; W is written, and zero wherever nothing is kept.
        model: the pruned one.
        dense: of the same architecture, and on the same device; what the pruned one is to come near to.
        batch: training rows, on the same device.
        bf16: both models compute under autocast to it; the fit is in fp32.
        tick: called before each matrix is fitted.
    """
    with _judged(model), _judged(dense):
        passes = _Passes(weights, model, dense, batch, bf16=bf16, tick=tick)
        left = passes.in_order()
        while left:
            # What is used once is fitted on the way; a matrix that several layers share, after the last of them.
            shared = next((place for place, number in enumerate(left) if passes.uses[number] > 1), len(left))
            now, left = left[: shared + 1], left[shared + 1 :]
            passes.carry_out(now)
    weights.method.after_reconstruction()
    weights.apply()


class _Passes:
    """Forward passes of both models over the same rows, in which matrices are fitted.

    Attributes:
        uses: number of a matrix → how often a pass uses it.
    """

    def __init__(
        self,
        weights: MaskedWeights,
        model: PreTrainedModel,
        dense: PreTrainedModel,
        batch: Batch,
        *,
        bf16: bool,
        tick: Tick,
    ) -> None:
        self._weights, self._model, self._dense, self._batch = weights, model, dense, batch
        self._mask = weights.mask.clone()  # what it is seen from is written over
        self._bf16, self._tick = bf16, tick
        numbers = {id(matrix.parameter): number for number, matrix in enumerate(weights.matrices)}
        self._modules: dict[str, tuple[nn.Module, int]] = {
            name: (module, numbers[id(module.weight)])
            for name, module in model.named_modules()
            if id(getattr(module, "weight", None)) in numbers
        }
        order: list[int] = []
        with self._hooks(dense, lambda name: lambda module, inputs, output: order.append(self._modules[name][1])):
            self._run(dense)
        self.uses, self._order = Counter(order), list(dict.fromkeys(order))

    def in_order(self) -> list[int]:
        """Numbers of the matrices that the model uses, in the order in which it first does."""
        return self._order

    def carry_out(self, now: Sequence[int]) -> None:
        """One pass of the pruned model, in which some matrices are fitted when they are used for the last time."""
        matrices, wanted, left = self._weights.matrices, set(now), Counter(self.uses)
        sums: dict[int, Moments] = {}
        said: dict[str, list[Tensor]] = {}
        layers: list[int | None] = []

        def before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
                number = self._modules[name][1]
                if number not in wanted:
                    return
                if layers[-1:] != [matrices[number].layer]:  # what the dense model says is kept of one layer at a time
                    layers.append(matrices[number].layer)
                    said.clear()
                    said.update(self._dense_outputs({n for n in wanted if matrices[n].layer == layers[-1]}))
                x, y = self._of_real_tokens(inputs[0]), said[name].pop(0)
                bias, free = self._bias_of(module, number)
                if bias is not None and not free:
                    y = y - bias
                if number not in sums:
                    points = [each.mean(dim=0) if free else each.new_zeros(each.shape[1]) for each in (x, y)]
                    sums[number] = Moments(points[0], points[1])
                sums[number].add(x, y)
                left[number] -= 1
                if not left[number]:
                    self._write(number, sums.pop(number), bias if free else None)

            return look

        with self._hooks(self._model, before, before=True):
            self._run(self._model)

    def _write(self, number: int, moments: Moments, bias: Tensor | None) -> None:
        """Fit a matrix, and let the model compute with it at once."""
        self._tick()
        weights = self._weights
        matrix, where = weights.matrices[number], weights.slices[number]
        weight = weights.weight[where].view(matrix.parameter.shape)
        kept = self._mask[where].view(matrix.parameter.shape)
        if matrix.transposed:
            weight, kept = weight.T, kept.T
        fitted, found = fit(moments, weight, kept, biased=bias is not None)
        weight.copy_(fitted)
        if bias is not None and found is not None:
            bias.copy_(found.where(found.isfinite(), bias))
        mark(weights.weight[where], self._mask[where], out=weights.computed[where])

    def _bias_of(self, module: nn.Module, number: int) -> tuple[Tensor | None, bool]:
        """A module's bias, and whether it goes with one matrix alone, and may be fitted."""
        bias = getattr(module, "bias", None)
        alone = sum(other == number for _, other in self._modules.values()) == 1
        return bias, bias is not None and alone and bias.requires_grad

    def _dense_outputs(self, numbers: set[int]) -> dict[str, list[Tensor]]:
        """What the dense model says in the place of some matrices: name of the module → [tokens, out] for each use."""
        said: dict[str, list[Tensor]] = {}

        def after(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
            def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
                if self._modules[name][1] in numbers:
                    said.setdefault(name, []).append(self._of_real_tokens(output))

            return keep

        with self._hooks(self._dense, after):
            self._run(self._dense)
        return said

    def _of_real_tokens(self, values: Tensor) -> Tensor:
        """[tokens, features] fp32, without padding."""
        real = self._batch.get("attention_mask")
        values = values.detach().float()
        if real is not None and values.shape[:-1] == real.shape:
            return values[real.bool()]
        return values.reshape(-1, values.shape[-1])

    def _run(self, model: PreTrainedModel) -> None:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=self._bf16):
            model(**accepted(model, self._batch))

    @contextmanager
    def _hooks(
        self, model: PreTrainedModel, hook: Callable[[str], Callable[..., None]], *, before: bool = False
    ) -> Iterator[None]:
        """Within it, a hook is called before or after each module that holds one of the matrices."""
        handles = []
        for name in self._modules:
            module = model.get_submodule(name)
            add = module.register_forward_pre_hook if before else module.register_forward_hook
            handles.append(add(hook(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def _judged(model: PreTrainedModel) -> Iterator[None]:
    """Within it, the model is as when it is judged: without dropout."""
    was_training = model.training
    model.train(mode=False)
    try:
        yield
    finally:
        model.train(was_training)
