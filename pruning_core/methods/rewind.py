"""Iterative magnitude pruning with weight rewinding: the lottery ticket's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, cast

from pydantic import Field

from pruning_core.defaults import cycle
from pruning_core.methods.base import MethodParameters
from pruning_core.methods.magnitude import Magnitude
from pruning_core.methods.memory import Memory
from pruning_core.schedule import Schedule, ScheduleError, Shape

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from pruning_core.masking import MaskedWeights

#: Fewer steps train nothing worth ranking.
_SHORTEST_ROUND = 5


class RewindParameters(MethodParameters):
    """Settings of iterative pruning with rewinding."""

    rounds: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="How often weights are removed; the run has one part more, and as many parts where the dense model "
        "is pruned (`training.start_from`), whose training is the first. Default: 3, and 1 where the dense model is "
        "pruned.",
    )
    rewind_to: float = Field(
        default=0.1,
        ge=0.0,
        lt=1.0,
        description="Where in the run's first part weights are rewound to; 0 is the start. Nothing is rewound where "
        "the dense model is pruned in one round.",
    )

    def settled(self, *, trained: bool, density: float) -> Self:
        """With the number of rounds."""
        return self if self.rounds else self.model_copy(update={"rounds": 1 if trained else 3})


@dataclass(frozen=True)
class Rounds(Schedule):
    """Density falls in each round by the same factor: v_i (v_f / v_i)^(r/R) after round r of R.

    Of a model that knows its task the first weights go before the first step.

    Attributes:
        rounds: R.
    """

    rounds: int = 1

    @property
    def parts(self) -> int:
        """Parts of equal length that the run has."""
        return self.rounds if self.trained else self.rounds + 1

    def cuts(self) -> list[int]:
        """The step at which each round removes weights."""
        first = self.parts - self.rounds
        return [round(self.total_steps * part / self.parts) for part in range(first, self.parts)]

    def density(self, step: int) -> float:
        """Kept share for the forward pass that follows `step` finished optimizer steps."""
        done = sum(step >= cut for cut in self.cuts())
        if done == self.rounds:
            return self.final_density
        factor = float((self.final_density / self.start_density) ** (done / self.rounds))
        return self.start_density * factor


class Rewind(Magnitude):
    """Train, remove the smallest weights, put the others back to where they were early in training, and repeat.

    Frankle & Carbin 2019 (arXiv 1803.03635) with the late rewinding of Frankle et al. 2019 (arXiv 1903.01611); Yu et
    al. 2020 (arXiv 1906.02768) for language. A run of T steps has R + 1 parts of equal length, each with its own
    learning-rate cycle; weights go at the end of the first R. Where the dense baseline is pruned, its training is the
    first part: weights go before the first step, and at the end of each of R parts but the last.
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
        parameters = cast(RewindParameters, self.parameters).settled(
            trained=schedule.trained, density=schedule.final_density
        )
        assert parameters.rounds is not None
        total = schedule.total_steps
        final, trained = schedule.final_density, schedule.trained
        plan = Rounds(schedule.shape, total, 0, 0, final, rounds=parameters.rounds, trained=trained)
        part = total // plan.parts
        if part < _SHORTEST_ROUND:
            several = plan.rounds > 1
            raise ScheduleError(
                f"{plan.rounds} round{'s leave' if several else ' leaves'} parts of {part} steps in a run of {total}, "
                f"and a part needs {_SHORTEST_ROUND} at least. Train longer"
                + (", or lower pruning.params.rounds." if several else ".")
            )
        cuts = plan.cuts()
        return replace(plan, warmup_steps=cuts[0], cooldown_steps=total - cuts[-1])

    def numbers_per_weight(self) -> int:
        """Where it is rewound to."""
        return 1

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Work out when to remember and when to rewind."""
        super().start(weights, schedule)
        assert isinstance(schedule, Rounds)
        self._cuts = schedule.cuts()
        #: Where parts after the first begin, and all is rewound.
        self._rewinds = [cut for cut in self._cuts if cut > 0]
        self._remember_at: int | None = None
        if self._rewinds:
            wanted = round(cast(RewindParameters, self.parameters).rewind_to * self._rewinds[0])
            self._remember_at = min(wanted, self._rewinds[0] - 1)

    def attend(self, others: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """What is rewound with the weights, and the optimizer, whose moments are forgotten."""
        self._memory = Memory(self.weights, others, optimizer)
        if self.step == 0 and self._remember_at == 0:
            self._memory.keep()

    def after_selection(self) -> None:
        """Remember, or rewind; what goes before the first step is zero at once, so that it ranks last from now on."""
        from pruning_core.products import multiply_by_mask

        if self.step in self._rewinds:
            self._memory.bring_back()
        elif self.step in self._cuts:
            multiply_by_mask(self.weights.weight, self.weights.mask, out=self.weights.weight)
        elif self.step == self._remember_at and self.step > 0:
            self._memory.keep()

    def learning_rate_factor(self, step: int) -> float:
        """A cycle for each part."""
        edges = [0, *self._rewinds, self.schedule.total_steps]
        part = sum(step >= edge for edge in self._rewinds)
        return cycle(step - edges[part], edges[part + 1] - edges[part])
