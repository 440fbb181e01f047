"""How dense the masks are at each optimizer step, derived from the run's own number of steps."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

Shape = Literal["cubic", "linear", "one_shot"]

#: A window shorter than this prunes nearly at once, which the caller should ask for by name (`one_shot`).
MIN_WINDOW_STEPS = 10


class ScheduleError(ValueError):
    """The schedule cannot be carried out in the run's number of steps."""


@dataclass(frozen=True)
class Schedule:
    """The density at the start during warm-up, a descent inside the pruning window, the final density during cool-down.

    Zhu & Gupta 2017 (arXiv 1710.01878), as used in the movement-pruning paper, section 4:
    `v(t) = v_f + (v_i - v_f) (1 - (t - t_i) / (T - t_i - t_f))^3`.

    Attributes:
        shape: `cubic`, `linear`, or `one_shot` (the whole cut at the end of warm-up).
        total_steps: T, optimizer steps of the run.
        warmup_steps: t_i, steps before the first weight goes.
        cooldown_steps: t_f, steps after the final density is reached.
        final_density: v_f, kept share of the prunable weights, 0 < v_f < 1.
        start_density: v_i, what is kept before the first weight goes; below 1 where the model's zeros stay.
        trained: the model knows its task before the first step: it is the dense baseline.
    """

    shape: Shape
    total_steps: int
    warmup_steps: int
    cooldown_steps: int
    final_density: float
    start_density: float = 1.0
    trained: bool = False

    @classmethod
    def from_shares(
        cls,
        shape: Shape,
        *,
        total_steps: int,
        warmup: float,
        cooldown: float,
        final_density: float,
        shapes: Collection[Shape] = get_args(Shape),
    ) -> "Schedule":
        """Turn shares of the run into steps.

        Fixed step counts are the classic silent failure on short jobs: the warm-up outlasts the run and everything
        is cut in one step at its end. Shares scale with the run, and a run too short to prune in is refused.

        Args:
            shape: one of `shapes`.
            total_steps: of the run.
            warmup: share of them before the first weight goes.
            cooldown: share of them at the final density.
            final_density: kept share.
            shapes: what may be asked for instead.

        Raises:
            ScheduleError: the pruning window is shorter than `MIN_WINDOW_STEPS`.
        """
        if shape not in get_args(Shape):
            raise ScheduleError(f"Unknown schedule shape {shape!r}; choose one of {', '.join(get_args(Shape))}.")
        warmup_steps = round(warmup * total_steps)
        cooldown_steps = round(cooldown * total_steps)
        window = total_steps - warmup_steps - cooldown_steps
        if shape == "one_shot":
            pass  # one cut, or none but the last: any number of steps will do, and even no step
        elif window < MIN_WINDOW_STEPS:
            raise ScheduleError(
                f"The schedule leaves a pruning window of {max(window, 0)} of {total_steps} steps, and a gradual "
                f"schedule needs at least {MIN_WINDOW_STEPS}. Train longer (training.epochs, max_steps, a smaller "
                "batch_size), or lower pruning.schedule.warmup or cooldown"
                + (", or ask for pruning.schedule.shape 'one_shot'." if "one_shot" in shapes else ".")
            )
        return cls(shape, total_steps, warmup_steps, cooldown_steps, final_density)

    def density(self, step: int) -> float:
        """Kept share for the forward pass that follows `step` finished optimizer steps (0 ≤ step ≤ total_steps)."""
        end = self.total_steps - self.cooldown_steps
        if step >= self.total_steps:
            return self.final_density
        if step < self.warmup_steps:
            return self.start_density
        if self.shape == "one_shot" or step >= end:
            return self.final_density
        remaining = 1.0 - (step - self.warmup_steps) / (end - self.warmup_steps)
        power = 3 if self.shape == "cubic" else 1
        return self.final_density + (self.start_density - self.final_density) * remaining**power

    @property
    def reached_at(self) -> int:
        """The first number of finished steps with the final density."""
        return self.warmup_steps if self.shape == "one_shot" else self.total_steps - self.cooldown_steps

    @property
    def prunes(self) -> bool:
        """Whether any weight goes: where a model's zeros stay, they may be all that the target asks for."""
        return self.start_density > self.final_density

    def from_density(self, density: float) -> Self:
        """The same schedule for a model of which only a share is left, which it begins with."""
        return replace(self, start_density=density, final_density=min(density, self.final_density))
