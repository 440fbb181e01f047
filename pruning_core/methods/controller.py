"""A controller on log λ: gives a penalty that knows no target the density that the schedule asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule


#: log λ at most: the square of a gradient of that size is finite in fp32 still.
_MOST = math.log(1e15)


class PenaltyController:
    """Moves log λ in proportion to how far the density is off and to how fast that changes (a PI controller on log λ).

    In the works that introduced these penalties λ is swept by hand. Everything stays on the device: no step waits.
    """

    #: Doublings of λ in a window in which the density is off by its whole range throughout.
    _INTEGRAL = 80.0

    def __init__(
        self, weights: MaskedWeights, schedule: Schedule, *, proportional: float, follows: bool = False
    ) -> None:
        """Start without a penalty; λ begins at the first `seed`.

        Args:
            weights: give the controller its memory.
            schedule: its window sets the pace.
            proportional: doublings of λ for an error of the whole range, at once.
            follows: λ is not searched but told, by `follow`.
        """
        from pruning_core.selection import Threshold

        self._proportional = proportional
        self._window = max(1, schedule.total_steps - schedule.warmup_steps - schedule.cooldown_steps)
        self._range, self._final = schedule.start_density - schedule.final_density, schedule.final_density
        self.follows = follows
        #: Where the selections of `select_above` part weights.
        self.floor, self.most = Threshold(), Threshold()
        self._log = weights.buffers.setdefault("log_lambda", weights.weight.new_full((), -math.inf))
        self._error = weights.buffers.setdefault("last_error", weights.weight.new_zeros(()))

    @property
    def penalty(self) -> Tensor:
        """λ, a scalar on the device; zero before `seed`."""
        return self._log.exp()

    def seed(self, value: Callable[[], Tensor]) -> None:
        """Give λ its first value, once: later calls change nothing.

        Args:
            value: asked where it may be needed; an accelerator is not waited for to know whether it is.
        """
        import torch

        if self.follows:
            return
        if self._log.device.type != "cpu" or torch.isinf(self._log):
            # log 0 waits for the next call
            torch.where(torch.isinf(self._log), value().log(), self._log, out=self._log)

    def follow(self, value: Tensor) -> None:
        """Let λ be this until the next call.

        Args:
            value: λ, a scalar on the device.
        """
        self._log.copy_(value.log())

    def slack(self, density: float) -> float:
        """How far masks may lag behind the schedule: so many times its density may stay.

        Args:
            density: kept share that the schedule asks for. Where λ is told, masks have caught up when it is the last.
        """
        return 1.0 + (SLACK - 1.0) * ((density - self._final) / self._range if self.follows else 1.0)

    def update(self, density: Tensor, target: float) -> None:
        """Raise λ while the density is above its target, lower it below; not where it is told.

        Args:
            density: kept share now, a scalar on the device.
            target: kept share that the schedule asks for.
        """
        if self.follows:
            return
        error = (density - target) / self._range
        step = self._INTEGRAL / self._window * error + self._proportional * (error - self._error)
        self._log.add_(math.log(2) * step).clamp_(max=_MOST)
        self._error.copy_(error)


#: How far the masks may lag behind the schedule at most: so many times its density may stay.
SLACK = 1.25


def select_above(
    weights: MaskedWeights, threshold: float, controller: PenaltyController, density: float, *, ceiling: bool = False
) -> None:
    """M = (S > τ), but never fewer than the schedule's v highest scores; moves λ.

    Without that floor a λ that overshoots, as it does in short runs, cuts everything at once.

    Args:
        weights: whose scores are compared, and whose mask is written.
        threshold: τ.
        controller: learns how far the threshold's own density is off.
        density: kept share that the schedule asks for.
        ceiling: never more than the `slack` times v highest scores either. In a run of some tens of steps scores cannot
            reach τ: λ would grow without end, and all would be cut in one step when the window ends.
    """
    import torch

    from pruning_core.selection import kept_count, select_global

    score, mask = weights.rankable(weights.score), weights.new_mask()
    floor = torch.empty_like(mask)
    select_global(score, weights.open_slices, kept_count(len(weights), density), floor, controller.floor)
    torch.gt(score, threshold, out=mask)
    if ceiling and (share := controller.slack(density) * density) < weights.start_density:
        most = torch.empty_like(mask)
        select_global(score, weights.open_slices, kept_count(len(weights), share), most, controller.most)
        mask.logical_and_(most)
    controller.update(weights.kept_share, density)
    mask.logical_or_(floor)
