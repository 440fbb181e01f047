"""Masked weights without a forked model: the model computes with W ⊙ M, while W and S live beside it.

Each prunable `nn.Parameter` of the model *is* the effective weight W ⊙ M. Backward leaves G = ∂L/∂(W ⊙ M) for every
entry, masked or not: all that any first-order method needs (paper, section 4). Once per optimizer step the gradients of
W and S are formed from it, and once the effective weights are refreshed. ADR 0002 says why this is simpler and cheaper
than a parametrization.

M is not stored, but seen from W ⊙ M: what is removed is 0.0 there, and a weight that is kept and zero is -0.0, which is
the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from pruning_core.methods import Method
from pruning_core.products import multiply_by_mask, norm_of
from pruning_core.prunable import Matrix
from pruning_core.threads import on_threads

if TYPE_CHECKING:
    from pruning_core.units import Units


class GradientNorms(NamedTuple):
    """L2 norms of the gradients of a step, a scalar for each of `MaskedWeights.passes`, taken while it is in the cache.

    Attributes:
        weight: of ∂L/∂W; none where weights are frozen.
        score: of ∂L/∂S; none where there are no scores.
    """

    weight: list[Tensor]
    score: list[Tensor]


class MaskedWeights:
    """Dense weights, scores and masks of all prunable matrices, each in one flat tensor.

    Attributes:
        matrices: the prunable matrices, in the model's order.
        slices: where each matrix lies in the flat tensors.
        weight: W, [n] fp32.
        trained: what of W an optimizer moves: a view of it for each of `passes`; none when frozen.
        computed: [n], what the model computes with, W ⊙ M: its parameters are views of it. Where it is in fp32 its
            memory is for whoever needs some between backward and `apply`, which writes it anew.
        score: S, [n] fp32; [0] for methods without scores.
        trained_scores: what an optimizer moves: a view of S for each of `passes`; none for methods without scores.
        closed: [n] bool, the zeros that stay; None where every weight may be kept.
        open_counts: how many weights of each matrix may be kept.
        buffers: what the method keeps from step to step, by name; part of a checkpoint.
        units: what is removed as a whole; None for single weights.
        input_norms: for methods that calibrate, the L2 norm of each input of each matrix, [in].
    """

    def __init__(
        self,
        matrices: Sequence[Matrix],
        method: Method,
        *,
        frozen: bool = False,
        keep_zeros: bool = False,
        computes_in: torch.dtype = torch.float32,
    ) -> None:
        """Copy the model's weights; the model computes the same until `apply` is called with another mask.

        Args:
            matrices: what may be pruned.
            method: the run's.
            frozen: leave W as it is.
            keep_zeros: what is zero stays zero.
            computes_in: bf16 for a model on a CPU whose every forward pass is under autocast to it, and which takes a
                step for each backward pass: what autocast would round anew each time is written rounded once, and
                gradients are widened when they are looked at. Results are the same to the bit.
        """
        self.matrices = list(matrices)
        self.method = method
        self.frozen = frozen
        self.slices: list[slice] = []
        start = 0
        for matrix in self.matrices:
            self.slices.append(slice(start, start + matrix.parameter.numel()))
            start += matrix.parameter.numel()
        flat = torch.cat([matrix.parameter.detach().float().flatten() for matrix in self.matrices])
        self.weight = flat
        self._compute_in(computes_in)
        self.computed.copy_(flat)
        self.trained = [] if frozen else [nn.Parameter(flat[where]) for where in self.passes]
        self._gradient: Tensor | None = None
        if flat.device.type != "cpu":
            self._gradient = torch.zeros_like(flat)
            for matrix, where in zip(self.matrices, self.slices, strict=True):
                # Autograd adds to a gradient that is there, so that all of them can be worked on at once.
                matrix.parameter.grad = self._gradient[where].view_as(matrix.parameter)
        self._mask: Tensor | None = flat != 0.0 if keep_zeros else torch.ones_like(flat, dtype=torch.bool)
        self.closed: Tensor | None = ~self._mask if keep_zeros else None
        self.open_counts = self.kept() if keep_zeros else [where.stop - where.start for where in self.slices]
        self.buffers: dict[str, Tensor] = {}
        self.units: Units | None = None
        self.input_norms: dict[str, Tensor] = {}
        self.score = torch.empty_like(flat) if method.learns_scores else flat.new_empty(0)
        self.trained_scores = [nn.Parameter(self.score[where]) for where in self.passes if method.learns_scores]

    def _compute_in(self, number_format: torch.dtype) -> None:
        """Let the model's parameters be views of one tensor, in a format that is its own."""
        self.computed = torch.empty_like(self.weight, dtype=number_format)
        for matrix, where in zip(self.matrices, self.slices, strict=True):
            matrix.parameter.grad = None
            matrix.parameter.data = self.computed[where].view_as(matrix.parameter)

    @torch.no_grad()
    def start_scores(self) -> None:
        """Let scores start as the method has it, each matrix by its own weights."""
        for where in self.slices:
            self.method.write_initial_score(self.weight[where], self.score[where])

    @torch.no_grad()
    def start_scores_by(self, sensitivity: Tensor) -> None:
        """Let scores start as if the most sensitive weight were the largest, and so on: |W|'s values in its order.

        What is learned of scores, such as how fast they move, is in the unit of weights; an order is all that is taken.

        Args:
            sensitivity: [n] fp32.
        """
        size = torch.empty_like(sensitivity)
        sizes, order = self.weight.abs().sort(stable=True)
        size[order[sensitivity[order].argsort(stable=True)]] = sizes  # of two alike the larger weight is the larger
        for where in self.slices:
            self.method.write_initial_score(size[where], self.score[where])

    def __len__(self) -> int:
        """Number of prunable weights."""
        return self.weight.numel()

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.weight.device

    @property
    def passes(self) -> list[slice]:
        """How to go through the flat tensors where several operations follow one another.

        On a CPU a matrix at a time, which stays in the cache from one to the next; elsewhere all at once, since each
        operation has a price of its own there.
        """
        return self.slices if self.device.type == "cpu" else [slice(0, len(self))]

    @property
    def _in_fp32(self) -> bool:
        """Whether the model computes in fp32, so that what it computes with is memory for gradients."""
        return self.computed.dtype == torch.float32

    def scratch(self) -> Tensor:
        """[n] fp32 to be written to between backward and `apply`, once the gradients of S are not needed any more."""
        return self.computed if self._in_fp32 else torch.empty_like(self.weight)

    @property
    def mask(self) -> Tensor:
        """M, [n] bool: all True to begin with, but for zeros that stay. Whoever changes it calls `apply`."""
        if self._mask is None:
            self._mask = self._marks != 0
        return self._mask

    @property
    def marks(self) -> Tensor:
        """[n], zero exactly where M is False: what is at hand of it."""
        return self._marks if self._mask is None else self._mask

    @property
    def _marks(self) -> Tensor:
        """The bits of what the model computes with; of 0.0 alone they are zero."""
        return self.computed.view(torch.int32 if self._in_fp32 else torch.int16)

    def new_mask(self) -> Tensor:
        """[n] bool for another M, to be written to where weights may be kept; there is False elsewhere."""
        if self._mask is None:
            self._mask = self._marks.new_empty(len(self), dtype=torch.bool) if self.closed is None else self.mask
        return self._mask

    def see_mask(self) -> None:
        """Let M be what the model computes with, which has been written."""
        if not self.method.hides_mask:
            self._mask = None

    def new_buffer(self, name: str) -> Tensor:
        """[n] zeros that the method keeps from step to step."""
        return self.buffers.setdefault(name, torch.zeros_like(self.weight))

    @property
    def start_density(self) -> float:
        """Share of the prunable weights that may be kept."""
        return sum(self.open_counts) / len(self)

    @property
    def open_slices(self) -> list[slice]:
        """Where the matrices lie that have a weight to keep."""
        return [where for where, count in zip(self.slices, self.open_counts, strict=True) if count]

    @property
    def open_sizes(self) -> list[int]:
        """How many weights may be kept in each of these."""
        return [count for count in self.open_counts if count]

    def rankable(self, values: Tensor) -> Tensor:
        """[n] values to select the largest of: zeros that stay come after all others."""
        return values if self.closed is None else values.masked_fill(self.closed, -torch.inf)

    @property
    def kept_share(self) -> Tensor:
        """Share of the prunable weights that the masks keep, a scalar on the device."""
        return torch.count_nonzero(self.marks) / len(self)  # `mean` of booleans takes twenty times as long on a CPU

    def kept(self) -> list[int]:
        """Kept weights of each matrix."""
        return [int(torch.count_nonzero(self.marks[where])) for where in self.slices]

    @property
    def gradients(self) -> list[Tensor]:
        """G, one flat tensor for each of `passes`, the matrices' own, in what the model computes in.

        Zeros where backward has left none.
        """
        if self._gradient is not None:
            return [self._gradient]
        for matrix in self.matrices:
            if matrix.parameter.grad is None:
                matrix.parameter.grad = torch.zeros_like(matrix.parameter)
        return [matrix.parameter.grad.view(-1) for matrix in self.matrices if matrix.parameter.grad is not None]

    @property
    def mean_score_gradient(self) -> Tensor:
        """Mean of |∂L/∂S|, a scalar on the device; zero before the first backward."""
        sizes = [torch.linalg.vector_norm(part.grad, ord=1) for part in self.trained_scores if part.grad is not None]
        return torch.stack(sizes).sum() / len(self) if sizes else self.weight.new_zeros(())

    @torch.no_grad()
    def collect_gradients(self) -> GradientNorms:
        """Let the method see G, then turn it into ∂L/∂W and ∂L/∂S: the `.grad` of what trains.

        Straight-through: the mask is a constant for S's gradient too, so masked weights go on being judged.
        """
        own, method, passes = self.gradients, self.method, self.passes
        if self._in_fp32:
            _ = self.mask  # what it is seen from is about to be written over
        wide = own
        if method.observes:
            own = wide = [gradient.float() for gradient in own]
            self._release()
            method.observe(wide)
        elif not self._in_fp32 and not self.frozen:
            wide = [torch.empty_like(gradient, dtype=torch.float32) for gradient in own]
        for where, part in zip(passes, self.trained_scores, strict=False):  # none without scores
            part.grad = self.computed[where] if self._in_fp32 else torch.empty_like(part)

        def form(number: int) -> tuple[list[Tensor], list[Tensor]]:
            where, gradient = passes[number], wide[number]
            score, weight = [], []
            if method.learns_scores:
                out = self.trained_scores[number].grad
                assert out is not None
                score.append(method.score_gradient(where, own[number], out))
            if not self.frozen:
                norm = method.gate_gradient(where, own[number], gradient)
                if self.closed is not None:  # not every method's gradient is masked, and Adam moves what has one
                    norm = norm_of(gradient.masked_fill_(self.closed[where], 0.0))
                weight.append(norm)
            own[number] = gradient  # both are not needed, and all together are much
            self._release(number)
            return weight, score

        if method.learns_scores:
            method.before_scoring()
        numbers = range(len(passes))
        formed = on_threads(numbers, form) if self.device.type == "cpu" else [form(number) for number in numbers]
        for parameter, gradient in zip(self.trained, wide, strict=False):  # none when frozen
            parameter.grad = gradient
        weight, score = zip(*formed, strict=True)
        return GradientNorms([norm for one in weight for norm in one], [norm for one in score for norm in one])

    def _release(self, *numbers: int) -> None:
        """Let go of what backward has left in some matrices, or in all; but for the memory that it always writes to."""
        if self._gradient is None:
            for matrix in [self.matrices[number] for number in numbers] or self.matrices:
                matrix.parameter.grad = None

    @torch.no_grad()
    def drop_gradients(self) -> None:
        """Make way for the next backward: on a CPU, where gradients need memory for as long as they are there."""
        for parameter in self.trained:
            parameter.grad = None
        self._release()
        if self._gradient is not None:
            self._gradient.zero_()

    @torch.no_grad()
    def apply(self, *, training: bool = True) -> None:
        """Write the effective weights into the model, W ⊙ M but for methods with gates of their own.

        The gradients of S go: their memory is written to, or given back.

        Args:
            training: False for the weights to judge and to ship, without the noise that some methods train with.
        """
        for part in self.trained_scores:
            part.grad = None
        self._write(training=training)
        self.see_mask()

    def _write(self, *, training: bool) -> None:
        _ = self.mask  # what it is seen from is about to be written over
        self.method.before_writing(training=training)
        self.method.write_effective(self.computed, training=training)

    @torch.no_grad()
    def settle(self) -> None:
        """End the run: masked weights become exact zeros, also in W, where Adam's momentum still moved them."""
        _ = self.mask  # from here on a zero may be kept
        self._compute_in(torch.float32)
        self._write(training=False)
        multiply_by_mask(self.computed, self.mask, out=self.computed)
        self.computed.add_(0.0)  # turns -0.0 into 0.0, which compresses better
        self.weight.copy_(self.computed)
