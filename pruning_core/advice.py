"""What we would tell a colleague who asks for such a run. No torch here: the service tells it at submit."""

from collections.abc import Iterator

from pruning_core.defaults import SHORT_RUN
from pruning_core.granularity import kind_of
from pruning_core.methods import METHODS
from pruning_core.spec import PruningSpec

#: The paper's regimes (arXiv 2005.07683, section 6).
_MAGNITUDE_WINS_ABOVE = 0.7
_FIRST_ORDER_WINS_BELOW = 0.15

#: Zero-initialised scores prune at random until the first gradients have told weights apart.
_ZEROS_NEED_STEPS = 3000

#: What runs of a hundred steps are too short for, unless what is left is fitted to the dense baseline: at 10 % density
#: pairs of sentences ended at 0.35 to 0.49 with these, at 0.61 to 0.66 with the other methods, and dense at 0.70.
_SLOW = {
    "magnitude": "cuts more than the rest can make up for",
    "obd": "has seen too little of the curvature",
    "rewind": "cuts more at once than the rest can make up for",
    "rpp": "cuts more than the rest can make up for",
}

#: Masks alone hardly learn a task in fewer: 60 steps of pairs at 10 % density end at 0.57 with `movement`, at 0.53 with
#: `l0` and at 0.58 with `soft_movement`; 150 at 3 % at 0.59, 0.44 and 0.61 (dense: 0.59 and 0.73).
_FROZEN_NEED_STEPS = 200
_FROZEN_LEARN_FROM = 0.1

#: Of 24 steps of pairs of sentences nothing is left at 10 % density, of 60 most.
_FEWEST = 60

#: Transformers are fine-tuned with 1e-5 to 1e-3; far above that nothing is left of what they knew.
_MOST_LEARNS_AT = 1e-2


class Advice(UserWarning):
    """A run is possible, and likely to disappoint."""


def advice_for(spec: PruningSpec, steps: int) -> Iterator[str]:
    """Where a method is outside the regime it is good in, or a run too short.

    Args:
        spec: as it was asked for, without the defaults.
        steps: optimizer steps of the run.
    """
    order = METHODS[spec.method].order
    density = f"{100 * spec.final_density:.3g} %"
    single = kind_of(spec.granularity) == "element"  # the regimes are those of single weights
    if single and order == 1 and spec.final_density > _MAGNITUDE_WINS_ABOVE:
        yield (f"At a density of {density} method 'magnitude' is usually better than {spec.method!r}, and cheaper.")
    fitted = spec.reconstructs(steps)  # which brings back what a cut by weights alone has taken
    if single and order == 0 and spec.final_density < _FIRST_ORDER_WINS_BELOW:
        yield (
            f"At a density of {density} first-order methods, such as 'movement', are "
            f"{'often' if fitted else 'usually much'} better than {spec.method!r}, which does not look at the loss."
        )
    for name in ("learning_rate", "dense_learning_rate"):
        rate = getattr(spec.training, name)
        if spec.trains and rate is not None and rate > _MOST_LEARNS_AT:
            yield (
                f"At training.{name} {rate:g} a pretrained model usually unlearns all it knew, and answers everything "
                "alike. Leave it out, or take 1e-5 to 1e-3."
            )
    if spec.pruning.params.get("score_init") == "zeros" and steps < _ZEROS_NEED_STEPS:
        yield (
            f"Scores that start at zero usually collapse in runs of fewer than {_ZEROS_NEED_STEPS:,} steps, and this "
            f"one has {steps:,}. Leave out pruning.params.score_init."
        )
    by_sensitivity = spec.pruning.params.get("score_init") == "sensitivity" and not spec.pruning.freeze_weights
    if by_sensitivity and spec.starts_from(steps) == "model":
        yield (
            "score_init 'sensitivity' ranks weights by the loss of the first batches, which says little of a model "
            "that does not know its task yet. Leave it out, or prune the dense baseline (training.start_from 'dense')."
        )
    little = single and spec.final_density < _FIRST_ORDER_WINS_BELOW
    if 0 < steps <= SHORT_RUN and little and spec.method in _SLOW and not fitted:
        fit = "Leave out pruning.reconstruct false, use" if spec.pruning.reconstruct is False else "Use"
        yield (
            f"In runs as short as {steps:,} steps {spec.method!r} {_SLOW[spec.method]}, and at a density of {density} "
            f"often ends where it answers everything alike. {fit} 'movement', or train longer."
        )
    if spec.pruning.freeze_weights and spec.training.start_from is None and spec.starts_from(steps) == "dense":
        yield (
            "The weights that pruning.freeze_weights leaves as they are will be those of the dense baseline: in "
            f"{steps:,} steps masks alone hardly learn a task. To keep those of the given model, which several tasks "
            "can share, say training.start_from 'model'."
        )
    # Of a model that knows its task a tenth is enough for masks that learn fast.
    hard = spec.starts_from(steps) == "model" or spec.method == "l0" or spec.final_density < _FROZEN_LEARN_FROM
    if spec.pruning.freeze_weights and 0 < steps < _FROZEN_NEED_STEPS and little and hard:
        faster = "use 'movement' or 'soft_movement', whose masks learn faster, " if spec.method == "l0" else ""
        yield (
            f"With pruning.freeze_weights a density of {density} often takes {_FROZEN_NEED_STEPS} steps or more: after "
            f"{steps:,} the model may answer everything alike. Let the weights train, "
            f"{faster}or train longer."
        )
    if 0 < steps < _FEWEST and little:
        yield (
            f"In {steps:,} step{'s' if steps > 1 else ''} a model hardly makes up for what goes at a density of "
            f"{density}, whatever the method, and may end where it answers everything alike. Give it {_FEWEST} steps "
            "or more (training.max_steps)."
        )
    if 0 < steps <= SHORT_RUN and not spec.pruning.start_from_mask and spec.starts_from(steps) == "model":
        yield (
            f"In {steps:,} steps a model hardly learns its task while it is pruned, and may end where it answers "
            "everything alike. Let the job prune the dense baseline (training.dense_baseline, training.start_from), or "
            "train longer."
        )
