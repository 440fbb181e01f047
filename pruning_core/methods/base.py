"""What a pruning method is: how scores start, how they learn, and what ranks a weight.

Method files import torch for types only. The HTTP service lists methods and their parameters without carrying torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from pruning_core.granularity import KINDS
from pruning_core.schedule import Schedule, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from pruning_core.masking import MaskedWeights
    from pruning_core.selection import Sizes
    from pruning_core.units import Units


class MethodParameters(BaseModel):
    """A method's own settings, given as `pruning.params`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def settled(self, *, trained: bool, density: float) -> Self:
        """The same with every default written out.

        Args:
            trained: the dense baseline is pruned, which knows the task.
            density: kept share at the end.
        """
        return self


class Method(ABC):
    """One way to decide which weights stay, for one run: it may keep state in the run's buffers.

    All tensors are flat and aligned: entry i of weight, score, mask and gradient belongs to the same connection.
    The gradient is always G = ∂L/∂(W ⊙ M), the one that reaches the masked weight.

    In each optimizer step a run calls, in this order: `observe` or `before_scoring`; `score_gradient` and
    `gate_gradient`, for each stretch of G, all after backward; `after_update`, when weights and scores have moved;
    `select_softly` or `ranking`, for the masks; `after_selection`; `before_writing`, and `write_effective`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    Parameters: ClassVar[type[MethodParameters]] = MethodParameters

    #: Which part of the loss's expansion the method reads: 0 the weights, 1 gradients, 2 curvature.
    order: ClassVar[int]
    #: Whether an optimizer trains a score per weight (`training.score_learning_rate`).
    learns_scores: ClassVar[bool] = False
    #: Whether it looks at gradients, without scores that learn from them.
    observes: ClassVar[bool] = False
    #: What it can be combined with, the first of each by default.
    scopes: ClassVar[tuple[str, ...]] = ("global", "local")
    granularities: ClassVar[tuple[str, ...]] = KINDS
    shapes: ClassVar[tuple[Shape, ...]] = ("cubic", "linear", "one_shot")
    #: Whether the spec's warm-up and cool-down say when it prunes; `plan` says it where not.
    follows_schedule: ClassVar[bool] = True
    #: How many times the usual learning rate a dense baseline takes of which it leaves nothing, to learn its task anew;
    #: 1 where the task is not forgotten.
    forgets: ClassVar[float] = 1.0
    #: Whether it can prune without a single training step.
    works_untrained: ClassVar[bool] = False
    #: Passes over the training split where the spec does not say.
    epochs: ClassVar[float] = 6.0
    #: Whether importance is read from each attention's output projection, which must then be among the matrices.
    reads_outputs: ClassVar[bool] = False
    #: Whether importance needs the inputs of each layer (`MaskedWeights.input_norms`), measured before the first step.
    calibrates: ClassVar[bool] = False

    #: Whether M cannot be seen from what the model computes with, for noise in it.
    hides_mask: ClassVar[bool] = False
    #: Whether it has the model compute without autocast, too: for second derivatives, or to measure.
    computes_in_fp32: ClassVar[bool] = False

    #: Why a model's zeros cannot stay (`pruning.start_from_mask`); None where they can.
    forgets_zeros: ClassVar[str | None] = None

    weights: MaskedWeights
    schedule: Schedule
    #: Optimizer steps finished when the masks of the moment were selected.
    step: int = 0

    def __init__(self, parameters: MethodParameters | None = None) -> None:
        """Keep the parameters, the method's defaults when none are given."""
        self.parameters = parameters if parameters is not None else self.Parameters()

    def default_score_learning_rate(self, total_steps: int, *, frozen: bool = False) -> float:
        """Adam's peak learning rate for the scores when the spec names none.

        Args:
            total_steps: of the run.
            frozen: the weights stay those of the dense baseline.
        """
        raise TypeError(f"Method {self.name!r} learns no scores.")

    def numbers_per_weight(self) -> int:
        """How many numbers the method keeps for each prunable weight, besides a score and what optimizers keep."""
        return 0

    def plan(self, schedule: Schedule) -> Schedule:
        """The schedule of a run, from the one that the spec describes; most methods take it as it is."""
        return schedule

    @property
    def in_window(self) -> bool:
        """Whether masks change gradually now: after warm-up, before cool-down."""
        return self.schedule.warmup_steps <= self.step < self.schedule.total_steps - self.schedule.cooldown_steps

    def learning_rate_factor(self, step: int) -> float | None:
        """The weights' learning rate as a share of its peak, or None to leave it to training."""
        return None

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin a run: keep what the method works on, and take the buffers it needs from `weights`."""
        self.weights = weights
        self.schedule = schedule

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Fill `score` (same shape as `weight`) with the values before the first step."""
        raise TypeError(f"Method {self.name!r} learns no scores.")

    def observe(self, gradients: Sequence[Tensor]) -> None:
        """Look at G after backward, if the method `observes`.

        Args:
            gradients: G in fp32, flat, a stretch for each of `weights.passes`; not to be changed.
        """
        raise TypeError(f"Method {self.name!r} does not look at gradients.")

    def before_scoring(self) -> None:  # noqa: B027  # most methods need no such hook
        """Prepare `score_gradient`, whose memory is there."""

    def score_gradient(self, where: slice, own: Tensor, out: Tensor) -> Tensor:
        """Write a stretch of ∂L/∂S, if the method `learns_scores`.

        On a CPU several threads do, each a stretch at a time (`threads.on_threads`).

        Args:
            where: one of `weights.passes`.
            own: G as backward has left it, in what the model computes in; not to be changed.
            out: [n] fp32, the gradient of one of `weights.trained_scores`; holds what `before_scoring` has left there.

        Returns:
            The L2 norm of what was written, a scalar.
        """
        raise TypeError(f"Method {self.name!r} learns no scores.")

    def gate_gradient(self, where: slice, own: Tensor, gradient: Tensor) -> Tensor:
        """Turn a stretch of G into ∂L/∂W: G ⊙ M, so that masked weights rest.

        On a CPU several threads do, as above.

        Args:
            where: one of `weights.passes`.
            own: G as backward has left it, in what the model computes in; no longer needed.
            gradient: [n] fp32, overwritten; where the model computes in fp32 it is `own`.

        Returns:
            The L2 norm of what was written, a scalar.
        """
        from pruning_core.products import mask_gradient

        return mask_gradient(own, self.weights.marks[where], out=gradient)

    def after_update(self, learning_rate: float) -> None:  # noqa: B027  # most methods need no such hook
        """Act when the optimizer has moved weights and scores, before masks are selected; `step` counts that step.

        Args:
            learning_rate: the weights' rate in the step.
        """

    def ranking(self, scratch: Tensor) -> Tensor | Sizes:
        """What `importance` is, in the form in which the largest of all weights are found fastest."""
        return self.importance(scratch)

    @abstractmethod
    def importance(self, scratch: Tensor) -> Tensor:
        """[n] what selection ranks, larger stays.

        Args:
            scratch: [n] free to be written to and returned.

        Returns:
            `scratch`, or a tensor that the caller does not change.
        """

    def unit_importance(self, units: Units) -> Tensor | None:
        """[units] what selection of whole units ranks; None for the mean importance of their weights."""
        return None

    def select_softly(self, density: float) -> bool:
        """Write the masks without an exact count, on the way to `density`; False to have the top v selected."""
        return False

    def after_selection(self) -> None:  # noqa: B027  # most methods need no such hook
        """Act when the masks for the next forward pass are known."""

    def after_reconstruction(self) -> None:  # noqa: B027  # most methods need no such hook
        """Act when weights have been fitted to the dense model, as if nothing scaled them."""

    def before_writing(self, *, training: bool) -> None:  # noqa: B027  # most methods need no such hook
        """Draw what is random in the effective weights, which are about to be written."""

    def write_effective(self, out: Tensor, *, training: bool) -> None:
        """Write what the model computes with, W ⊙ M; without training, what is judged and shipped.

        Args:
            out: [n], fp32 or bf16; from its zeros M is seen, unless the method `hides_mask`.
            training: whether noise that the method trains with is wanted.
        """
        from pruning_core.products import mark

        mark(self.weights.weight, self.weights.mask, out=out)

    def attend(self, others: Sequence[nn.Parameter], optimizer: Optimizer) -> None:  # noqa: B027  # most methods need no such hook
        """Learn what else trains, before the first step."""

    def wants_curvature(self) -> bool:
        """Whether `measure_curvature` is to be called before the next step."""
        return False

    def measure_curvature(self, loss: Tensor, add_up: Callable[[Sequence[Tensor]], None]) -> None:  # noqa: B027  # most methods need no such hook
        """Look at second derivatives of a batch's loss, whose graph reaches the matrices' parameters.

        Args:
            loss: what this device adds to the batch's.
            add_up: makes of each tensor its sum over all devices, in place.
        """

    def metrics(self) -> dict[str, Tensor]:
        """Scalars for the curves, such as λ; still on the device."""
        return {}
