"""L0 regularisation: hard-concrete gates that training opens and shuts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pruning_core.methods.controller import select_above
from pruning_core.methods.penalised import STEEPNESS, PenalisedScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from pruning_core.masking import MaskedWeights
    from pruning_core.schedule import Schedule

#: The stretched interval (l, r) and the temperature b (Louizos 2018, section 4; the paper, section 3).
LOWER, UPPER, TEMPERATURE = -0.1, 1.1, 2 / 3

#: Scores begin where gates are nearly open: σ(2.2) = 0.9.
_OPEN = 2.2
#: So far apart do scores start that start by size, in standard deviations of the weights, where little and where much
#: is left; by sensitivity always the latter.
_NEAR, _FAR = 1.0, 4.0
#: About how far scores move beside each other in a run in which they shift together.
_TRAVEL_FROZEN = 8.0
#: Kept shares up to which little, and from which much is left.
_LITTLE, _MUCH = 0.1, 0.5
#: From this score on it is 1, with something to spare: σ(S) > (1 - l) / (r - l) = 0.917.
_WIDE_OPEN = 3.0
#: A gate's test-time value is above zero from this score on: σ(S) = -l / (r - l).
SHUT_BELOW = math.log(-LOWER / UPPER)


class L0(PenalisedScores):
    """Each weight has a gate z in [0, 1], sampled in training: W ⊙ z, trained on L + λ·E‖z‖₀ / n.

    Louizos, Welling & Kingma 2018 (arXiv 1712.01312): s = σ((log u - log(1-u) + S) / b),
    z = min(1, max(0, s(r-l) + l)), P(z > 0) = σ(S - b·log(-l/r)). At test time z = min(1, max(0, σ(S)(r-l) + l)), which
    is what is shipped, multiplied into the weights. λ follows from the schedule by a controller; when the window ends,
    the exact top v by S stay.

    Where λ follows the task's pull, it does not meet the schedule. What it would have to push down for that, all scores
    alike, is the same as a shift: the model computes with the v highest, and all scores shift until the lowest of
    these is at `_OPEN`, nearly open. When the window ends gates are 0 or 1, so that what is shipped are the
    weights that were frozen, and scores learn straight through them. Pairs of sentences, 60 steps, 10 % density, two
    seeds: 0.53 and 0.46, pushed 0.44 and one class; dense 0.59 and 0.63.
    """

    name: ClassVar[str] = "l0"
    summary: ClassVar[str] = "A random gate per weight, trained with a penalty on the expected number of open gates."
    source: ClassVar[str] = "Louizos, Welling & Kingma 2018 (arXiv 1712.01312); arXiv 2005.07683, section 3"
    forgets: ClassVar[float] = 4.0
    hides_mask: ClassVar[bool] = True
    _optimizer: Optimizer | None = None
    TRAVEL: ClassVar[float] = 20.0
    FASTEST: ClassVar[float] = 0.5
    TRAVEL_BY_SENSITIVITY: ClassVar[float] = TRAVEL
    FASTEST_BY_SENSITIVITY: ClassVar[float] = FASTEST

    def default_score_learning_rate(self, total_steps: int, *, frozen: bool = False) -> float:
        """From scores ranked by |W| what moves them `TRAVEL`, or `_TRAVEL_FROZEN`; else the 1e-1 of the paper."""
        if self.score_init == "zeros":
            return 1e-1
        rate = super().default_score_learning_rate(total_steps)
        if frozen and self.score_init == "sensitivity":
            rate = min(rate, float(f"{2 * _TRAVEL_FROZEN / max(1, total_steps):.2g}"))
        return rate

    def write_initial_score(self, weight: Tensor, score: Tensor) -> None:
        """Gates nearly open; but for `zeros` the more so the larger the weight, in its matrix's own unit.

        The penalty pushes all scores down alike until the share that has to go is shut. Where that is half, and scores
        start close together, the other half is left among gates that are open by chance: the model learns to live with
        their noise, and has to unlearn it when they no longer move. Far apart most stay open.
        """
        score.fill_(_OPEN)
        if self.score_init != "zeros":
            near = self.score_init == "magnitude"  # size says less of a weight than sensitivity does
            apart = _NEAR + (_FAR - _NEAR) * _much(self.schedule.final_density) if near else _FAR
            score.add_(weight.abs().div_(weight.std().clamp(min=1e-12)).sub_(1.0), alpha=apart)

    def numbers_per_weight(self) -> int:
        """The gate."""
        return 1

    def start(self, weights: MaskedWeights, schedule: Schedule) -> None:
        """Begin with open gates and no penalty."""
        super().start(weights, schedule)
        self._gates = weights.new_buffer("gates").fill_(1.0)

    def attend(self, others: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """The optimizer, whose momentum ends with the penalty."""
        self._optimizer = optimizer

    @property
    def _samples(self) -> bool:
        """Whether gates are random: until the pruning window ends."""
        return self.step < self.schedule.total_steps - self.schedule.cooldown_steps

    def before_scoring(self) -> None:
        """P(z > 0), where its gradient is about to be."""
        if self.in_window:
            for score in self.weights.trained_scores:
                expected_open(score, out=score.grad)

    def score_gradient(self, where: slice, own: Tensor, out: Tensor) -> Tensor:
        """∂L/∂S = G ⊙ W ⊙ ∂z/∂S, plus the penalty's λ·∂P(z>0)/∂S / n.

        With s = (z-l)/(r-l): s·(1-s)·(r-l)² = (z-l)(r-z) = z·(1-z) - l·r, as l + r = 1; flat where a gate is 0 or 1.
        """
        import torch

        from pruning_core.products import gates_gradient, score_gradient

        weights = self.weights
        if self._controller.follows:
            through = not self._samples
            pull = self._controller.penalty * (STEEPNESS * through / len(weights))
            # While gates are random theirs is another gradient, and this is but measured.
            size, norm = score_gradient(own, weights.weight[where], pull, out=out if through else torch.empty_like(out))
            self._sizes[where.start] = size
            if through:
                return norm
        return gates_gradient(
            own,
            weights.weight[where],
            self._gates[where],
            steepness=1.0 / ((UPPER - LOWER) * (TEMPERATURE if self._samples else 1.0)),
            penalty=self._controller.penalty / len(weights) if self.in_window else None,
            out=out,
        )

    def gate_gradient(self, where: slice, own: Tensor, gradient: Tensor) -> Tensor:
        """∂L/∂W = G ⊙ z, on the masks' weights."""
        from pruning_core.products import multiply_gradient

        return multiply_gradient(own, self._gates[where], out=gradient)

    def select_softly(self, density: float) -> bool:
        """Which gates would be open at test time; λ moves to bring their share to the schedule's.

        Where it follows the task's pull, the highest are selected as of any other method.
        """
        if not self.in_window or self._controller.follows:
            return False
        self.seed_penalty()
        select_above(self.weights, SHUT_BELOW, self._controller, density)
        return True

    def after_selection(self) -> None:
        """Open the gates that are shut but stay: a kept weight must not be multiplied by zero.

        When the window ends all that stay are opened as wide as they began: the penalty has pushed all scores down
        together, and every matrix times a tenth is a model that has forgotten everything. Where much is left, the
        weights have learnt to say in spite of such gates what they have to, and take over what their gates were.
        """
        from pruning_core.products import fill_where

        score, mask = self.weights.score, self.weights.mask
        end = self.schedule.total_steps - self.schedule.cooldown_steps
        if self._controller.follows:
            if self.in_window:
                score.sub_(score.masked_fill(~mask, math.inf).min() - _OPEN)
            if self.step == end:
                self._stop_momentum()
            return
        if self.schedule.warmup_steps <= self.step <= end:
            fill_where(score, mask & (score <= SHUT_BELOW), SHUT_BELOW + 1.0)
        if self.step == end:
            if not self.weights.frozen:
                self._take_over_gates(_much(self.schedule.final_density))
            score.copy_(score.clamp(min=_OPEN).where(mask, score))
            self._stop_momentum()

    def _stop_momentum(self) -> None:
        """Adam's is the penalty's, and would shut within ten steps what has just been opened."""
        if self._optimizer is not None:
            for part in self.weights.trained_scores:
                self._optimizer.state[part]["exp_avg"].zero_()

    def after_reconstruction(self) -> None:
        """Weights are fitted as they are: from then on the gates of those that stay are open for good."""
        score = self.weights.score
        score.copy_(score.clamp(min=_WIDE_OPEN).where(self.weights.mask, score))

    def _take_over_gates(self, power: float) -> None:
        """W ← W ⊙ zᵖ for the weights that stay, z their gates at test time.

        Of MiniLM-L6 half is left after 300 steps: opened at once, the loss jumps from 0.5 to 10, and the run ends at
        one class. A tenth left has forgotten all by then, and has to be opened to learn again.
        """
        from pruning_core.products import stretch

        weights, gates = self.weights, self._gates
        gates.copy_(weights.score).sigmoid_()
        stretch(gates).pow_(power).masked_fill_(~weights.mask, 1.0)
        weights.weight.mul_(gates)

    def before_writing(self, *, training: bool) -> None:
        """Draw the gates' noise, until the window is over."""
        from pruning_core.noise import write_uniform

        if training and self._samples:
            write_uniform(self._gates)

    def write_effective(self, out: Tensor, *, training: bool) -> None:
        """W ⊙ z, with gates as drawn; without training, or when the window is over, with their test-time values."""
        from pruning_core.products import draw_gates, multiply_by_mask, open_gates

        weights, score = self.weights, self.weights.score
        if training and self._samples:
            draw_gates(self._gates, score, weights.weight, out=out)
            if self._controller.follows:
                out.mul_(weights.mask)
        elif self._controller.follows:
            multiply_by_mask(weights.weight, weights.mask, out=out)
        else:
            open_gates(self._gates, score, weights.mask, weights.weight, out=out)

    def metrics(self) -> dict[str, Tensor]:
        """λ, and the expected share of open gates."""
        return {
            "lambda": self._controller.penalty,
            "expected_density": expected_open(self.weights.score).mean(),
        }


def _much(density: float) -> float:
    """How much a density leaves: 0 up to `_LITTLE`, 1 from `_MUCH` on, and in between in proportion."""
    return min(1.0, max(0.0, (density - _LITTLE) / (_MUCH - _LITTLE)))


def expected_open(score: Tensor, *, out: Tensor | None = None) -> Tensor:
    """P(z > 0) = σ(S - b·log(-l/r)), entry by entry (Louizos 2018, equation 12)."""
    import torch

    return torch.sub(score, TEMPERATURE * SHUT_BELOW, out=out).sigmoid_()
