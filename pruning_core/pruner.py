"""One pruning step around each optimizer step: gradients in, masks out."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pruning_core.architectures import missing_outputs
from pruning_core.budgets import select_with_budgets
from pruning_core.defaults import rate_to_learn_anew
from pruning_core.granularity import kind_of
from pruning_core.grouped import select_in_rows, select_two_of_four, select_units
from pruning_core.masking import MaskedWeights
from pruning_core.prunable import Matrix, NothingToPrune, prunable_matrices
from pruning_core.schedule import Schedule
from pruning_core.selection import Threshold, kept_count, select_global, select_local, written
from pruning_core.spec import PruningSpec
from pruning_core.units import Units

#: What `clip_grads_with_norm_` adds to a norm before it divides.
_CLIP_EPSILON = 1e-6


class Pruner:
    """Moves the masks along the schedule.

    Attributes:
        weights: the prunable weights with scores and masks.
        schedule: density at each step.
        density: kept share that the schedule asks for now.
    """

    def __init__(
        self, model: PreTrainedModel, spec: PruningSpec, schedule: Schedule, *, autocast_alone: bool = False
    ) -> None:
        """Take over the model's prunable weights. `begin` makes the first selection.

        Args:
            model: on its device, fp32.
            spec: method, scope, granularity.
            schedule: the run's.
            autocast_alone: until the weights are settled the model computes under bf16 autocast, and on this device
                alone.

        Raises:
            NothingToPrune: no matrix, or no unit, is there to prune, or the method cannot rank by those that are; or
                `pruning.start_from_mask` is set, and more is zero than the target asks for.
        """
        self._scope = spec.scope
        self._reconstructs = bool(spec.pruning.reconstruct)
        self._kind = kind_of(spec.granularity)
        self._threshold = Threshold()
        method = spec.new_method()
        matrices = _matrices(model, spec.pruning.modules, self._kind)
        keep_zeros = spec.pruning.start_from_mask
        self._kept_zeros = _zeros_outside(model, matrices) if keep_zeros else []
        # On a CPU each step's gradients are its own; they must not add up, over batches or devices, in so few digits.
        rounds = autocast_alone and model.device.type == "cpu" and spec.training.gradient_accumulation == 1
        rounds = rounds and not method.computes_in_fp32
        self.weights = MaskedWeights(
            matrices,
            method,
            frozen=spec.pruning.freeze_weights,
            keep_zeros=keep_zeros,
            computes_in=torch.bfloat16 if rounds else torch.float32,
        )
        if self._kind not in ("element", "2:4"):
            self.weights.units = Units(spec.granularity, self.weights)
        if keep_zeros:
            _require_target(self.weights, spec)
            schedule = schedule.from_density(self.weights.start_density)
        self.schedule = schedule
        self.density = self._selected_at = schedule.start_density
        if method.reads_outputs:
            _require_outputs(model, matrices, spec)
        method.start(self.weights, schedule)

    def require_room(self, spec: PruningSpec) -> None:
        """See that whole units can meet the target.

        Raises:
            NothingToPrune: no choice of them does.
        """
        if self.weights.units is not None:
            _require_room(self.weights.units, spec, self.schedule)

    def begin(self) -> None:
        """Dense, or the first cut where the schedule has no warm-up."""
        self.update_masks(step=0)

    def stand_at(self, step: int) -> None:
        """Go on after `step` optimizer steps, when everything else has been restored."""
        self.weights.method.step = step
        self.density = self._selected_at = self.schedule.density(step)

    def learning_rate_factor(self, step: int) -> float:
        """What a step's learning rate is multiplied by: it rises to its peak where weights that go take the task along.

        Args:
            step: counted from 0.
        """
        schedule = self.schedule
        if not schedule.trained or self.weights.method.forgets == 1.0:
            return 1.0
        return rate_to_learn_anew(schedule.density(step)) / rate_to_learn_anew(schedule.final_density)

    def before_optimizer_step(self, others: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Form the gradients of weights and scores and clip them apart: scores' are of another scale.

        Args:
            others: the model's remaining trained parameters, clipped together with the prunable weights.
            max_norm: largest L2 norm of each of the two groups.

        Returns:
            The weights' gradient norm before clipping, a scalar tensor.
        """
        norms = self.weights.collect_gradients()
        for parameter, zeros in self._kept_zeros:
            if parameter.grad is not None:  # without a gradient AdamW leaves what is zero where it is
                parameter.grad.masked_fill_(zeros, 0.0)
        others = list(others)
        rest = [parameter.grad for parameter in others if parameter.grad is not None]
        if rest:
            norms.weight.append(nn.utils.get_total_norm(rest))
        norm = clip([*self.weights.trained, *others], norms.weight, max_norm)
        if norms.score:
            clip(self.weights.trained_scores, norms.score, max_norm)
        return norm

    @torch.no_grad()
    def after_optimizer_step(self, step: int, learning_rate: float) -> None:
        """Bring the masks and the model up to `step` finished optimizer steps.

        Args:
            step: counted from 1.
            learning_rate: the weights' in this step.
        """
        self.weights.drop_gradients()
        self.weights.method.step = step
        self.weights.method.after_update(learning_rate)
        self.update_masks(step)

    @torch.no_grad()
    def update_masks(self, step: int) -> None:
        """Select the weights to keep after `step` finished optimizer steps, and let the model compute with them."""
        method = self.weights.method
        method.step = step
        self.density = self.schedule.density(step)
        # Where nothing is to go, methods with a say of their own in the masks are not asked either.
        chosen = not self.schedule.prunes or self._fitted_before(step) or method.select_softly(self.density)
        if not chosen and self.density < self.schedule.start_density and not self._is_settled():
            self._select()
        method.after_selection()
        self.weights.apply()

    @contextmanager
    def as_shipped(self) -> Iterator[None]:
        """Let the model compute as it would be exported now, without the noise that some methods train with."""
        self.weights.apply(training=False)
        try:
            yield
        finally:
            self.weights.apply()

    def is_to_reconstruct(self, step: int) -> bool:
        """Whether what is left is to be fitted to the dense model after `step` finished optimizer steps."""
        return self._reconstructs and step == self.schedule.reached_at

    def _fitted_before(self, step: int) -> bool:
        """Whether what is left has been fitted: together, so that the masks stay."""
        return self._reconstructs and step > self.schedule.reached_at

    def _is_settled(self) -> bool:
        """Whether the masks of a method that measures once, before training, are those of this density already."""
        settled = self.weights.method.calibrates and self._selected_at == self.density
        self._selected_at = self.density
        return settled

    def _select(self) -> None:
        """The exact selection at the density of the moment."""
        weights, density = self.weights, self.density
        method, mask = weights.method, weights.new_mask()
        scratch = weights.scratch()
        values = method.ranking(scratch)
        # Matrices and units of which less is left to begin with keep the same share of that.
        share = density / self.schedule.start_density
        units = weights.units
        if units is not None:
            ranks = method.unit_importance(units)
            if ranks is None:
                ranks = units.mean(written(values, scratch))
            units.spread(select_units(ranks, units, share, local=self._scope == "local"), out=mask)
            return
        slices, sizes = weights.open_slices, weights.open_sizes
        if self._kind == "element" and self._scope == "global" and not method.calibrates:
            if weights.closed is not None:
                values = weights.rankable(written(values, scratch))
            select_global(values, slices, kept_count(len(weights), density), out=mask, threshold=self._threshold)
            return
        values = weights.rankable(written(values, scratch))
        if self._kind == "2:4":
            select_two_of_four(values, weights.matrices, weights.slices, density, out=mask)
        elif method.calibrates:
            select_in_rows(values, weights.matrices, weights.slices, density, out=mask)
        elif self._scope == "budget":
            select_with_budgets(values, slices, density, sizes=sizes, out=mask)
        else:
            select_local(values, slices, share, sizes=sizes, out=mask)


def clip(parameters: list[nn.Parameter], norms: list[Tensor], max_norm: float) -> Tensor:
    """As `nn.utils.clip_grad_norm_`, but without its pass over all gradients to multiply them by one.

    Args:
        parameters: whose gradients together are to be no longer than `max_norm`.
        norms: L2 norms of parts of them, all parts together.
        max_norm: largest L2 norm.

    Returns:
        The norm before, a scalar tensor.
    """
    norm = nn.utils.get_total_norm(norms)  # of all is the norm of theirs
    # On an accelerator the comparison would make the host wait.
    if norm.device.type != "cpu" or not norm + _CLIP_EPSILON <= max_norm:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def _zeros_outside(model: PreTrainedModel, chosen: list[Matrix]) -> list[tuple[nn.Parameter, Tensor]]:
    """The prunable matrices that a run leaves out, each with where it is zero, if it is anywhere."""
    inside = {id(matrix.parameter) for matrix in chosen}
    others = [matrix.parameter for matrix in prunable_matrices(model) if id(matrix.parameter) not in inside]
    zeros = [(parameter, parameter.detach() == 0.0) for parameter in others]
    return [each for each in zeros if bool(each[1].any())]


def _require_target(weights: MaskedWeights, spec: PruningSpec) -> None:
    """Refuse a target that is more than met already: what is gone stays gone. Units meet it to within half of one."""
    slack = 0.0 if weights.units is None else float(weights.units.sizes.max()) / 2
    if sum(weights.open_counts) + slack < kept_count(len(weights), spec.final_density):
        raise NothingToPrune(spec.more_is_gone(1 - weights.start_density))


def _require_room(units: Units, spec: PruningSpec, schedule: Schedule) -> None:
    """Refuse a target that no choice of whole units meets: that removes none, or less than has to stay."""
    if not schedule.prunes:
        return
    share = schedule.final_density / schedule.start_density
    local = spec.scope == "local"
    for pool in [torch.cat(units.pools)] if local else units.pools:  # within each the target is met
        sizes, among = units.sizes[pool], set(pool.tolist())
        families = [family for family in units.families if int(family[0]) in among]
        each = [float(units.sizes[family].min()) for family in families]
        least = sum(each) if units.protected or local else min(each)
        wanted, whole = share * float(sizes.sum()), float(sizes.sum())
        if least - wanted <= float(sizes.max()) / 2 and whole - wanted >= float(sizes.min()) / 2:
            continue
        what = (
            "none can go" if least <= wanted or least == whole else f"{least / whole:.2%} of their weights have to stay"
        )
        raise NothingToPrune(
            f"target_sparsity {spec.target_sparsity} cannot be met: of {len(pool):,} units of pruning.granularity "
            f"{str(spec.granularity)!r} in scope {spec.scope!r} {what}. Choose another target, or smaller units."
        )


def _require_outputs(model: PreTrainedModel, matrices: list[Matrix], spec: PruningSpec) -> None:
    """Refuse matrices without what ranks their heads: all would rank alike, and go by lot."""
    missing = missing_outputs(model.config.model_type, [matrix.name for matrix in matrices])
    if missing:
        raise NothingToPrune(
            f"pruning.modules {spec.pruning.modules!r} leaves out {missing[0]!r}, by which method {spec.method!r} "
            "ranks that layer's heads. Let it select each attention's output projection, too."
        )


def _matrices(model: PreTrainedModel, pattern: str | None, kind: str) -> list[Matrix]:
    """The matrices that hold units of a kind."""
    matrices = prunable_matrices(model, pattern)
    if kind == "head" and pattern is None:
        matrices = [matrix for matrix in matrices if matrix.heads is not None]
        if not matrices:
            raise NothingToPrune("It is not known where this model's attention heads are: use another granularity.")
    if kind == "2:4":
        for matrix in matrices:
            inputs = matrix.parameter.shape[0 if matrix.transposed else 1]
            if inputs % 4:
                raise NothingToPrune(
                    f"Matrix {matrix.name!r} has {inputs} inputs, not a multiple of four: pruning.granularity '2:4' "
                    "cannot cut it. Leave it out with pruning.modules."
                )
    return matrices
