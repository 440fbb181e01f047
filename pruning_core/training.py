"""Fine-tuning, dense or pruned: the whole loop. ADR 0003 says why it is written out and not borrowed."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.attention_mask import with_finished_mask
from pruning_core.batches import batches_of_like_length
from pruning_core.defaults import LEARNING_RATE_FALL, cycle
from pruning_core.distillation import DistilledLoss
from pruning_core.evaluation import Tick, evaluate, nobody_waits
from pruning_core.methods.learned import LearnedScores
from pruning_core.parameters import new_parameters, parameters_by_name
from pruning_core.precision import autocast
from pruning_core.prunable import base_model
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank, Portion
from pruning_core.reconstruction import reconstruct, some_rows
from pruning_core.selection import Diverged as Diverged  # noqa: PLC0414  # this module raises it, and says so
from pruning_core.spec import PruningSpec
from pruning_core.tasks.base import Batch, EncodedSplit, Task

MAX_GRADIENT_NORM = 1.0
#: Curves have about this many points of loss, whatever the run's length.
LOSS_POINTS = 200
#: Batches over which a weight's sensitivity is added up, where scores start by it.
SENSITIVITY_BATCHES = 8
#: Evaluation during training looks at no more items than this; the figures of the report use all of them.
MAX_CURVE_ITEMS = 2000
#: Evaluations during training, at most, and the share of the training's time that they may take.
MAX_EVALUATIONS, EVALUATION_SHARE = 20, 0.1

Phase = Literal["dense", "pruning"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step, or when all are done.

    Attributes:
        phase: `dense` (the baseline) or `pruning`; `fitting` once, when what is left is about to be fitted to the dense
            model; `delivering` once, when what was trained is about to be judged and written.
        step: optimizer steps finished, both phases together.
        total_steps: optimizer steps of both phases.
        phase_step: optimizer steps finished in this phase.
        density: kept share of the prunable weights that the schedule asks for.
        metrics: new points of the curves at `phase_step`: name → value.
    """

    phase: Phase | Literal["fitting", "delivering"]
    step: int
    total_steps: int
    phase_step: int
    density: float
    metrics: dict[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Material:
    """What all phases of a run share.

    Attributes:
        task: gives batches, losses and judgements.
        tokenizer: pads the batches.
        train: items to learn from.
        evaluation: items for the evaluation curve.
        spec: resolved, so that every rate is written out.
        bf16: autocast forward and backward.
        on_progress: called after every optimizer step; an exception it raises ends the run.
        total_steps: steps of all phases together.
        ranks: who trains the same model on other devices.
        tick: called where work goes on without a step; so does one it raises.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    train: EncodedSplit
    evaluation: EncodedSplit
    spec: PruningSpec
    bf16: bool
    on_progress: OnProgress
    total_steps: int
    ranks: OneRank
    tick: Tick = nobody_waits

    def rows_to_fit(self) -> Batch:
        """The training rows on which what is left of a model is fitted, the same on all ranks."""
        padded = some_rows(self.tokenizer, self.task, self.train, self.spec.training.seed)
        return {name: tensor.to(self.ranks.device) for name, tensor in padded.items()}


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Take token, position and type embeddings out of training (paper, section 5)."""
    for module in base_model(model).modules():
        if isinstance(module, nn.Embedding):
            module.weight.requires_grad_(False)


class FineTuning:
    """One phase: a model, its optimizer, and where they stand.

    Attributes:
        steps: optimizer steps of the phase.
        others: trained parameters besides the prunable weights.
        optimizer: for weights, scores and others.
        loss_sum: sum of the losses since the last point of the curve, and `loss_count` of how many.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        material: Material,
        *,
        pruner: Pruner | None = None,
        distilled: DistilledLoss | None = None,
        target: PreTrainedModel | None = None,
        finished_steps: int = 0,
    ) -> None:
        """Set up; nothing moves before `run`.

        Args:
            model: on its device, fp32; trained in place.
            material: data, spec, observers.
            pruner: moves the masks; None trains dense.
            distilled: replaces the plain loss.
            target: the dense model that what is left is fitted to, where the pruner reconstructs, and has not yet.
            finished_steps: steps of earlier phases, for the progress.
        """
        self.model = model
        self.pruner = pruner
        self.target = target
        self.steps = material.spec.total_steps(len(material.train))
        self._m = material
        self._distilled = distilled
        self._finished_steps = finished_steps
        own = {id(matrix.parameter) for matrix in pruner.weights.matrices} if pruner else set()
        self.others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
        self.optimizer = _optimizer(self.others, new_parameters(model), pruner, material.spec)
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.loss_sum = torch.zeros((), device=model.device)
        self.loss_count = 0
        self._prefix = "" if pruner else "dense/"
        self._log_every = max(1, self.steps // LOSS_POINTS)
        self._batches: tuple[int, list[list[int]]] = (-1, [])
        self._evaluate_every = math.ceil(self.steps / evaluations_of(material))

    def run(self, first: int = 0, after_step: Callable[[int], None] = lambda step: None) -> None:
        """Train.

        Args:
            first: steps already taken; everything must have been restored to there.
            after_step: called with the number of steps finished, when all is consistent: the place for a checkpoint.

        Raises:
            Diverged: the loss is no longer finite.
        """
        self.model.train()
        if self.pruner:
            self.pruner.weights.method.attend(self.others, self.optimizer)
        self._agree()
        for step in range(first, self.steps):
            norm = self.step(step)
            self._report(step + 1, norm)
            after_step(step + 1)

    def begin(self) -> None:
        """What pruning does before the first step: scores start, and the first weights go where there is no warm-up."""
        assert self.pruner
        self.rank_by_sensitivity()
        self.pruner.begin()
        self._reconstruct(0)

    def _reconstruct(self, step: int) -> None:
        """Fit what is left to the dense model, when that is due."""
        if self.pruner and self.target and self.pruner.is_to_reconstruct(step):
            material = self._m
            material.on_progress(self._progress("fitting", step))
            rows = material.rows_to_fit()
            reconstruct(self.pruner.weights, self.model, self.target, rows, bf16=material.bf16, tick=material.tick)
            self.target = None

    @torch.no_grad()
    def rank_by_sensitivity(self) -> None:
        """Where scores are to start by sensitivity, measure it: |G ⊙ W|, added up over the first batches.

        The loss is that of the labels, also where a teacher is: at first it is the pruned model's twin, and agrees.
        """
        assert self.pruner
        weights = self.pruner.weights
        if not isinstance(weights.method, LearnedScores) or weights.method.score_init != "sensitivity":
            return
        self.model.train()
        sensitivity = torch.zeros_like(weights.weight)
        for step in range(min(SENSITIVITY_BATCHES, self.steps)):
            self._backward(step, of_labels=True)
            for where, gradient in zip(weights.passes, weights.gradients, strict=True):
                sensitivity[where] += (gradient * weights.weight[where]).abs_()
            weights.drop_gradients()
            for parameter in self.others:
                parameter.grad = None
        weights.start_scores_by(sensitivity)

    def step(self, step: int) -> Tensor:
        """One optimizer step; returns the gradient's norm, still on the device."""
        mean = self._backward(step)
        self.loss_sum += mean
        self.loss_count += 1
        if self.pruner:
            norm = self.pruner.before_optimizer_step(self.others, MAX_GRADIENT_NORM)
        else:
            norm = nn.utils.clip_grad_norm_(self.others, MAX_GRADIENT_NORM)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._rate(step)
        self.optimizer.step()
        for parameter in self.others:
            parameter.grad = None
        if self.pruner:
            self.pruner.after_optimizer_step(step + 1, self.optimizer.param_groups[0]["lr"])
            self._reconstruct(step + 1)
        return norm

    @torch.enable_grad()
    def _backward(self, step: int, *, of_labels: bool = False) -> Tensor:
        """Leave the gradients of a step's batch, of all ranks; returns the loss."""
        ranks, seed = self._m.ranks, self._m.spec.training.seed
        chosen = [ranks.portion(items, self._m.train) for items in self._items_of(step)]
        if self.pruner and self.pruner.weights.method.wants_curvature():
            self._look_at_curvature(chosen[0], step)
        mean = torch.zeros_like(self.loss_sum)
        for number, portion in enumerate(chosen):
            batch = self._batch(portion.items)
            with (
                ranks.own_randomness(seed, step, number),
                autocast(self.model.device, self._m.bf16, tokens=batch["input_ids"].shape[1]),
            ):
                loss = self._loss(portion, batch, of_labels=of_labels) / len(chosen)
            loss.backward()
            mean += loss.detach()
        ranks.add_up([*self._gradients(), mean])
        return mean

    def _loss(self, portion: Portion, batch: Batch, *, of_labels: bool = False) -> Tensor:
        """What this rank adds to the mean over the whole batch."""
        inputs = with_finished_mask(self.model, batch)
        if self._distilled is None or of_labels:
            return self._m.task.loss(self.model(**inputs), batch) * portion.terms
        output = self.model(**inputs, output_hidden_states=self._distilled.wants_hidden_states)
        return self._distilled(output, portion, batch)

    def _gradients(self) -> list[Tensor]:
        """All that backward has left."""
        others = [parameter.grad for parameter in self.others if parameter.grad is not None]
        return [*self.pruner.weights.gradients, *others] if self.pruner else others

    def _batch(self, items: Sequence[int]) -> Batch:
        padded = self._m.task.collate(self._m.tokenizer, [self._m.train[item] for item in items])
        return {name: tensor.to(self.model.device, non_blocking=True) for name, tensor in padded.items()}

    def _look_at_curvature(self, portion: Portion, step: int) -> None:
        """Second derivatives need fp32, and attention that can be differentiated twice."""
        assert self.pruner
        ranks = self._m.ranks
        with sdpa_kernel(SDPBackend.MATH):
            with ranks.own_randomness(self._m.spec.training.seed, step):
                batch = self._batch(portion.items)
                output = self.model(**with_finished_mask(self.model, batch))
                loss = self._m.task.loss(output, batch) * portion.terms
            self.pruner.weights.method.measure_curvature(loss, ranks.add_up)

    def _items_of(self, step: int) -> list[list[int]]:
        """The micro-batches of a step. They follow from seed, epoch and step alone, so a run can go on anywhere."""
        training = self._m.spec.training
        accumulation = training.gradient_accumulation
        per_epoch = math.ceil(len(self._m.train) / training.batch_size / accumulation)
        epoch, position = divmod(step, per_epoch)
        if self._batches[0] != epoch:
            seed = training.seed * 1_000_003 + epoch
            self._batches = (epoch, batches_of_like_length(self._m.train.lengths, training.batch_size, seed))
        return self._batches[1][position * accumulation : (position + 1) * accumulation]

    def _rate(self, step: int) -> float:
        """The learning rate as a share of its peak, for all groups alike."""
        share = self.pruner.learning_rate_factor(step) if self.pruner else 1.0
        if self.pruner and (factor := self.pruner.weights.method.learning_rate_factor(step)) is not None:
            return share * factor
        return share * cycle(step, self.steps, fall=min(LEARNING_RATE_FALL, self._m.spec.cooldown(self.steps)))

    def _report(self, step: int, norm: Tensor) -> None:
        """Progress after every step, with points of the curves where they are due."""
        last = step == self.steps
        metrics: dict[str, float] = {}
        if step % self._log_every == 0 or last:
            loss = float(self.loss_sum) / self.loss_count
            self._agree()
            if not math.isfinite(loss):
                raise Diverged(f"The loss is {loss} at step {step}. {self._remedy()}")
            self.loss_sum.zero_()
            self.loss_count = 0
            metrics = {f"{self._prefix}train/loss": loss, f"{self._prefix}train/gradient_norm": float(norm)}
            if self.pruner:
                weights = self.pruner.weights
                metrics["density"] = float(weights.kept_share)
                metrics |= {f"pruning/{name}": float(value) for name, value in weights.method.metrics().items()}
        if step % self._evaluate_every == 0 or last:
            metrics |= {f"{self._prefix}eval/{name}": value for name, value in self._evaluate().items()}
        self._m.on_progress(self._progress("pruning" if self.pruner else "dense", step, metrics))

    def _progress(
        self, phase: Phase | Literal["fitting"], step: int, metrics: dict[str, float] | None = None
    ) -> Progress:
        density = self.pruner.density if self.pruner else 1.0
        return Progress(phase, self._finished_steps + step, self._m.total_steps, step, density, metrics or {})

    def _remedy(self) -> str:
        """What may keep a loss finite; only what the run has."""
        rates = f"training.{'' if self.pruner else 'dense_'}learning_rate"
        if self.pruner and self.pruner.weights.trained_scores:
            rates += " or training.score_learning_rate"
        return f"Lower {rates}{', or set training.precision to fp32' if self._m.bf16 else ''}."

    def _evaluate(self) -> dict[str, float]:
        with self._as_shipped():  # on all ranks: methods draw random numbers here
            if not self._m.ranks.leads:
                return {}
            return evaluate(
                self.model,
                self._m.tokenizer,
                self._m.task,
                self._m.evaluation,
                bf16=self._m.bf16,
                max_items=MAX_CURVE_ITEMS,
                tick=self._m.tick,
            )

    def _agree(self) -> None:
        """See that all ranks are there, and hold the same."""
        self._m.ranks.check()
        if not self._m.ranks.agree(lambda: self.tensors().values()) and self.pruner:
            self.pruner.weights.see_mask()
            self.pruner.weights.apply()

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that the rest of the phase depends on, by name, but for random number generators."""
        found = {f"model/{name}": parameter.detach() for name, parameter in parameters_by_name(self.model)}
        if self.pruner:
            weights = self.pruner.weights
            found["weights/weight"] = weights.weight
            if weights.method.hides_mask:
                found["weights/mask"] = weights.mask
            found |= {f"buffers/{name}": buffer for name, buffer in weights.buffers.items()}
            found |= {f"norms/{name}": norm for name, norm in weights.input_norms.items()}
            if weights.trained_scores:
                found["weights/score"] = weights.score
        for number, state in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer/{number}/{name}": value for name, value in state.items()}
        found["loss_sum"] = self.loss_sum
        return found

    def _as_shipped(self) -> AbstractContextManager[None]:
        return self.pruner.as_shipped() if self.pruner else nullcontext()


def evaluations_of(material: Material) -> int:
    """How often a phase is evaluated on the way: the last step's always, more where they cost little beside training.

    An item judged costs a forward pass, an item learnt from about three.
    """
    training = material.spec.training
    steps = material.spec.total_steps(len(material.train))
    learnt = 3 * steps * training.batch_size * training.gradient_accumulation
    judged = max(1, min(MAX_CURVE_ITEMS, len(material.evaluation)))
    return min(MAX_EVALUATIONS, max(1, steps), max(1, round(EVALUATION_SHARE * learnt / judged)))


def _optimizer(others: list[nn.Parameter], head: list[nn.Parameter], pruner: Pruner | None, spec: PruningSpec) -> AdamW:
    """AdamW with no decay: decay would pull kept weights towards the zero that movement pruning reads meaning from.

    A new head begins with noise, and has a long way to go in few steps: 150 steps of 77 classes at 10 % density end at
    0.53 accuracy when it learns like the rest, at 0.70 when it learns five times as fast.
    """
    training = spec.training
    learning_rate = training.learning_rate if pruner else training.dense_learning_rate
    assert learning_rate is not None
    new = {id(parameter) for parameter in head}
    first = [parameter for parameter in others if id(parameter) not in new]
    if pruner:
        first = [*pruner.weights.trained, *first]
    groups: list[dict[str, object]] = [{"params": first, "lr": learning_rate}]
    if pruner and pruner.weights.trained_scores:
        groups.append({"params": pruner.weights.trained_scores, "lr": training.score_learning_rate})
    if new:
        faster = learning_rate * training.head_learning_rate_multiplier
        groups.append({"params": [parameter for parameter in others if id(parameter) in new], "lr": faster})
    return AdamW(groups, lr=learning_rate, weight_decay=0.0, fused=True)
