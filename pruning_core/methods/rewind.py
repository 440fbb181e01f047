"""Iterative magnitude pruning with weight rewinding: the lottery ticket's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from pruning_core.methods.base import MethodParameters
from pruning_core.methods.magnitude import Magnitude
from pruning_core.schedule import Schedule, ScheduleError, Shape

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from pruning_core.masking import MaskedWeights

#: Fewer steps train nothing worth ranking.
_SHORTEST_ROUND = 5


class RewindParameters(MethodParameters):
    """Settings of iterative pruning with rewinding."""

    rounds: int = Field(default=3, ge=1, le=20, description="How often weights are removed; the run has one part more.")
    rewind_to: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Where in the first part weights are rewound to; 0 is the start."
    )


@dataclass(frozen=True)
class Rounds(Schedule):
    """Density falls at the end of each part by the same factor: v_i (v_f / v_i)^(r/R) after round r of R."""

    rounds: int = 1

    def ends(self) -> list[int]:
        """The step at which each round removes weights."""
        return [round(self.total_steps * r / (self.rounds + 1)) for r in range(1, self.rounds + 1)]

    def density(self, step: int) -> float:
        """Kept share for the forward pass that follows `step` finished optimizer steps."""
        done = sum(step >= end for end in self.ends())
        if done == self.rounds:
            return self.final_density
        factor = float((self.final_density / self.start_density) ** (done / self.rounds))
        return self.start_density * factor


class Rewind(Magnitude):
    """Train, remove the smallest weights, put the others back to where they were early in training, and repeat.

    Frankle & Carbin 2019 (arXiv 1803.03635) with the late rewinding of Frankle et al. 2019 (arXiv 1903.01611); Yu et
    al. 2020 (arXiv 1906.02768) for language. A run of T steps has R + 1 parts of equal length, each with its own
    learning-rate cycle; weights go at the end of the first R.
    """

    name: ClassVar[str] = "rewind"
    summary: ClassVar[str] = "Trains, prunes by magnitude, rewinds the weights and trains again, several times."
    source: ClassVar[str] = "Frankle et al. 2019 (arXiv 1903.01611); Yu et al. 2020 (arXiv 1906.02768)"
    Parameters: ClassVar[type[MethodParameters]] = RewindParameters
    shapes: ClassVar[tuple[Shape, ...]] = ("cubic",)
    follows_schedule: ClassVar[bool] = False
    works_untrained: ClassVar[bool] = False

    def plan(self, schedule: Schedule) -> Schedule:
        """Rounds instead of a descent.

        Raises:
            ScheduleError: a part would have fewer than five steps.
        """
        rounds = cast(RewindParameters, self.parameters).rounds
        part = schedule.total_steps // (rounds + 1)
        if part < _SHORTEST_ROUND:
            raise ScheduleError(
                f"{rounds} rounds leave parts of {part} steps in a run of {schedule.total_steps}, and a part needs "
                f"{_SHORTEST_ROUND} at least. Train longer, or lower pruning.params.rounds."
            )
        last = schedule.total_steps - round(schedule.total_steps * rounds / (rounds + 1))
        return Rounds(schedule.shape, schedule.total_steps, part, last, schedule.final_density, rounds=rounds)

    def numbers_per_weight(self) -> int:
        """Where it is rewound to."""
        return 1

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Work out when to remember and when to rewind."""
        super().start(weights, schedule)
        assert isinstance(schedule, Rounds)
        self._ends = schedule.ends()
        wanted = round(cast(RewindParameters, self.parameters).rewind_to * self._ends[0])
        self._remember_at = min(wanted, self._ends[0] - 1)

    def attend(self, others: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """What is rewound with the weights, and the optimizer, whose moments are forgotten."""
        self._others = list(others)
        self._optimizer = optimizer
        if self.step == 0 and self._remember_at == 0:
            self._remember()

    def after_selection(self) -> None:
        """Remember, or rewind."""
        if self.step == self._remember_at and self.step > 0:
            self._remember()
        elif self.step in self._ends:
            self._rewind()

    def _remember(self) -> None:
        buffers = self.weights.buffers
        buffers["rewind/weight"] = self.weights.weight.clone()
        for number, parameter in enumerate(self._others):
            buffers[f"rewind/{number}"] = parameter.detach().clone()

    def _rewind(self) -> None:
        from pruning_core.products import multiply_by_mask

        buffers = self.weights.buffers
        # What has gone starts from zero, so that it ranks last from now on.
        multiply_by_mask(buffers["rewind/weight"], self.weights.mask, out=self.weights.weight)
        for number, parameter in enumerate(self._others):
            parameter.detach().copy_(buffers[f"rewind/{number}"])
        for state in self._optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

    def learning_rate_factor(self, step: int) -> float:
        """A triangle for each part, falling to zero at its end."""
        edges = [0, *self._ends, self.schedule.total_steps]
        part = sum(step >= end for end in self._ends)
        start, stop = edges[part], edges[part + 1]
        rise = max(1, round(0.1 * (stop - start)))
        return min((step - start + 1) / rise, (stop - step) / max(1, stop - start - rise))
