"""What a run takes where its spec names nothing: rates and shares that suit its number of steps. No torch here."""

import math

from pruning_core.schedule import MIN_WINDOW_STEPS

#: AdamW's peak rate for the weights, where hidden states have this width and the run so many steps; it rises no further
#: below so few.
_LEARNING_RATE, _AT_WIDTH, _AT_STEPS, _FEWEST_STEPS = 2e-4, 384, 1000, 250
_LOWEST_RATE, _HIGHEST_RATE = 3e-5, 1e-3


#: How many times as fast a model learns of which nothing is left as one that is whole, to which a half is near.
_EMPTY, _POWER = 10.0, 4
_HIGHEST_RATE_ANEW = 3e-3


def rate_to_learn_anew(density: float, empty: float = _EMPTY) -> float:
    """How many times the rate of the dense baseline a model takes of which so much is left, to learn again what it was.

    For methods that hardly look at the loss: what they leave at a tenth has forgotten everything, and has 60 to 200
    steps. At once such a rate would overwrite what is still there, so it comes as weights go. With `magnitude` at 3 %
    density 60 steps of spam, 100 of reviews and 150 of 77 classes end at one class with the rate of the dense baseline,
    and with ten times that at 0.98, 0.74 and 0.67 (dense: 0.99, 0.83, 0.60).

    Args:
        density: kept share.
        empty: how many times it would be for a model of which nothing is left.
    """
    return 1.0 + (empty - 1.0) * (1.0 - density) ** _POWER


#: Up to which density and how many steps runs fit what is left to the dense baseline by themselves: little of it,
#: whatever chose it; of that longer where weights or curvature did, not the loss; and more of it there.
_LITTLE, _LITTLE_UP_TO, _LITTLE_BY_WEIGHTS_UP_TO = 0.05, 500, 900
_MORE_BY_WEIGHTS, _MORE_BY_WEIGHTS_UP_TO = 0.3, 500


def is_best_fitted(total_steps: int, density: float, *, by_loss: bool) -> bool:
    """Whether what a run leaves of the dense baseline is best fitted to it.

    With `magnitude` 60 steps of sentence pairs end at 0.69 so at 30 % density, at 0.61 without; at 50 % the gain is
    small, and the fit takes its time. With `movement`, `taylor` and their like nothing is gained at 10 %; at 3 % they
    end at 0.56, and at 0.33 to 0.49 without. Cut to 3 % while 308 steps teach the given model its task, pairs end at
    one class with `magnitude`, `l0` and `obd`, and at 0.53 with `movement`; what is left of the baseline, fitted, makes
    0.48 with `magnitude`, and of 300 steps 0.64 with `l0`, 0.70 with `movement`. Of 600 `movement` makes 0.74, and 0.73
    without; `magnitude` 0.52, and 0.42 without; `rpp` 0.50, and one class without; of 1,000 both 0.54, and
    `magnitude` 0.57 without.

    Args:
        total_steps: of the run.
        density: kept share.
        by_loss: the loss has chosen what is left, by its gradients.
    """
    if density <= _LITTLE:
        return total_steps <= (_LITTLE_UP_TO if by_loss else _LITTLE_BY_WEIGHTS_UP_TO)
    return not by_loss and density <= _MORE_BY_WEIGHTS and total_steps <= _MORE_BY_WEIGHTS_UP_TO


#: What has been fitted can be overwritten again: how much faster than usual it may learn depends on how many steps
#: there are to make up for that, and, of what weights alone have chosen, on how many there are to lose it in.
_CAREFUL, _CAREFUL_UP_TO, _BOLD, _BOLD_FROM, _BOLD_UP_TO, _PLAIN_FROM = 1.6, 100, 3.5, 150, 200, 300


def empty_when_fitted(total_steps: int, *, by_loss: bool) -> float:
    """`empty` of `rate_to_learn_anew` for what has been fitted to the dense baseline.

    With `magnitude` 60 steps of sentence pairs at 10 % density end at 0.51 with 3e-4, at 0.47 with 5e-4 and at one
    class with 1e-3; 150 steps of 77 classes at 3 % at 0.45, at 0.58 with 6e-4 and at 0.66 with 1.2e-3; 450 of the pairs
    at 3 % at 0.49 with 2e-4, and at one class with 4e-4. With `movement` 600 of these end at 0.74 with 6e-4.

    Args:
        total_steps: of the run.
        by_loss: the loss has chosen what is left, by its gradients.
    """
    rising = (total_steps - _CAREFUL_UP_TO) / (_BOLD_FROM - _CAREFUL_UP_TO)
    bold = _CAREFUL + (_BOLD - _CAREFUL) * max(0.0, min(1.0, rising))
    if by_loss:
        return bold
    falling = (total_steps - _BOLD_UP_TO) / (_PLAIN_FROM - _BOLD_UP_TO)
    return bold + (1.0 - bold) * max(0.0, min(1.0, falling))


def default_learning_rate(total_steps: int, width: int, *, knows_its_task: bool = False, anew: float = 1.0) -> float:
    """AdamW's peak learning rate: wider models and longer runs take less.

    It falls with the square of the width and with the root of the steps, of which 250 count at least. For BERT-base and
    the ten thousands of steps of the paper this is the paper's 3e-5. A short run has few steps to bring a model back
    that pruning has silenced: 150 steps of sentence pairs at 10 % density end at the majority class with the rate of a
    thousand steps, and well above it with twice that.

    Args:
        total_steps: optimizer steps of the run.
        width: size of the model's hidden states.
        knows_its_task: the dense baseline is pruned, which a higher rate than that of a thousand steps makes forget.
        anew: how many times the rate it takes at the final density, as `rate_to_learn_anew` says.
    """
    fewest = _AT_STEPS if knows_its_task else _FEWEST_STEPS
    rate = _LEARNING_RATE * (_AT_WIDTH / width) ** 2 * math.sqrt(_AT_STEPS / max(fewest, total_steps))
    rate = min(_HIGHEST_RATE, max(_LOWEST_RATE, rate))
    return float(f"{min(_HIGHEST_RATE_ANEW, rate * anew):.2g}")


#: The same for the dense baseline, whatever its steps.
_DENSE_RATE, _LOWEST_DENSE_RATE = 1e-4, 1e-5


def default_dense_learning_rate(width: int) -> float:
    """AdamW's peak learning rate where nothing is pruned: less than pruning's, whatever the number of steps.

    There is nothing to bring back, and what a higher rate overwrites of the pretrained weights makes a baseline that
    flatters the pruned model. On the movie reviews 940 steps with pruning's rate end 2 points below those with this
    one, 300 steps 8 points. For BERT-base it is 2.5e-5, of the rates that BERT's authors fine-tune with (2e-5 to 5e-5;
    Devlin 2019, appendix A.3).

    Args:
        width: size of the model's hidden states.
    """
    rate = _DENSE_RATE * (_AT_WIDTH / width) ** 2
    return float(f"{min(_HIGHEST_RATE, max(_LOWEST_DENSE_RATE, rate)):.2g}")


#: Share of the steps before the first weight is removed.
DEFAULT_WARMUP = 0.1

#: Share of the steps at the final density in short and in long runs, and up to and from how many steps they are that.
_COOLDOWN_SHORT, _COOLDOWN_LONG, _SHORT, _LONG = 0.6, 0.3, 150, 1000
_COOLDOWN_FITTED = 0.5
#: What is cut by weights alone, and fitted, is best cut before training has moved them: pairs at 3 % with `rpp`, whose
#: cut is gradual, end at 0.44 in 300 steps with a window of 30 steps, and at one class with 120.
_WINDOW_FITTED = 30


def default_cooldown(
    total_steps: int, warmup: float, *, knows_its_task: bool = False, fitted: bool = False, by_weights: bool = False
) -> float:
    """Share of a run's steps at the final density: short runs need more of theirs to recover in.

    What is cut leaves a model that answers one class to everything; how many steps it takes to learn again depends
    little on how long the run is. The share falls with the logarithm of the steps. A model that knows its task when
    pruning begins can be pruned more slowly instead, and keeps more of it.

    Args:
        total_steps: optimizer steps of the run.
        warmup: share of them before the first weight is removed; between the two a window must be left to prune in.
        knows_its_task: the dense baseline is pruned.
        fitted: what is left is fitted to it at the final density: what was learnt before hardly counts.
        by_weights: weights alone say what is left.
    """
    counted = _LONG if knows_its_task else max(_SHORT, min(_LONG, total_steps))
    place = math.log(counted / _SHORT) / math.log(_LONG / _SHORT)
    share = _COOLDOWN_SHORT + (_COOLDOWN_LONG - _COOLDOWN_SHORT) * place
    if fitted:
        share = max(share, _COOLDOWN_FITTED)
        share = max(share, 1.0 - warmup - _WINDOW_FITTED / max(1, total_steps)) if by_weights else share
    room = 1.0 - warmup - (MIN_WINDOW_STEPS + 1) / max(1, total_steps)
    return round(max(_COOLDOWN_LONG, min(share, room)), 2)


#: Runs of up to so many steps prune the dense baseline: 100 steps of sentence pairs at 10 % density, of which the first
#: forty are spent on finding out what the task is, end at one class otherwise, and at 0.68 of 0.71 so.
SHORT_RUN = 300

#: Share of the steps in which the learning rates rise to their peak, and in which they fall to zero.
LEARNING_RATE_WARMUP, LEARNING_RATE_FALL = 0.1, 0.3


def cycle(step: int, steps: int, *, fall: float = LEARNING_RATE_FALL) -> float:
    """The learning rate in a step as a share of its peak: it rises, stays, and falls to zero.

    What is cut late needs as much learning to make up for as what is cut early. On the movie reviews at 3 % density a
    rate that falls from its peak on costs a point of accuracy.

    Args:
        step: counted from 0.
        steps: of the cycle.
        fall: share of them in which it falls, no shorter than its rise.
    """
    rise = max(1, round(LEARNING_RATE_WARMUP * steps))
    return min((step + 1) / rise, 1.0, (steps - step) / max(rise, round(fall * steps)))
