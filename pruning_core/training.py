"""Fine-tuning on `transformers.Trainer`, dense or pruned: one optimizer, one pruner, one callback."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from pruning_core.evaluation import evaluate
from pruning_core.prunable import base_model
from pruning_core.pruner import Pruner
from pruning_core.spec import PruningSpec
from pruning_core.tasks.text_classification import EncodedSplit

#: Share of the steps in which the learning rates rise to their peak.
LEARNING_RATE_WARMUP = 0.1
MAX_GRADIENT_NORM = 1.0
#: Curves have about this many points of loss, whatever the run's length.
LOSS_POINTS = 200
#: Evaluation during training looks at no more rows than this; the figures of the report use all of them.
MAX_CURVE_ROWS = 2000

Phase = Literal["dense", "pruning"]


class Diverged(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step.

    Attributes:
        phase: `dense` (the baseline) or `pruning`.
        step: optimizer steps finished, both phases together.
        total_steps: optimizer steps of both phases.
        phase_step: optimizer steps finished in this phase.
        density: kept share of the prunable weights.
        metrics: new points of the curves at `phase_step`: name → value.
    """

    phase: Phase
    step: int
    total_steps: int
    phase_step: int
    density: float
    metrics: dict[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Take token, position and type embeddings out of training (paper, section 5)."""
    for module in base_model(model).modules():
        if isinstance(module, nn.Embedding):
            module.weight.requires_grad_(False)


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: EncodedSplit,
    evaluation: EncodedSplit,
    spec: PruningSpec,
    *,
    pruner: Pruner | None,
    bf16: bool,
    scratch: Path,
    on_progress: OnProgress,
    finished_steps: int,
    total_steps: int,
) -> None:
    """Train `model` in place; with a pruner, prune it meanwhile.

    Args:
        model: on its device, fp32.
        tokenizer: pads the batches.
        train: rows to learn from.
        evaluation: rows for the evaluation curve.
        spec: learning rates, steps, seed; what it leaves out gets its default.
        pruner: moves the masks; None trains dense.
        bf16: autocast forward and backward.
        scratch: a folder the Trainer may write in.
        on_progress: called after every optimizer step; an exception it raises ends the run.
        finished_steps: steps of earlier phases, for the progress.
        total_steps: steps of all phases, for the progress.

    Raises:
        Diverged: the loss is no longer finite.
    """
    steps = spec.total_steps(len(train))
    spec = spec.resolved()
    own = {id(matrix.parameter) for matrix in pruner.masked.matrices} if pruner else set()
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    optimizer = _optimizer(others, pruner, spec)
    callback = _Callback(
        others,
        pruner,
        on_progress,
        phase="pruning" if pruner else "dense",
        offset=finished_steps,
        total_steps=total_steps,
        evaluate_every=max(1, round(steps / max(1.0, spec.training.epochs))),
        evaluate_now=lambda: evaluate(model, tokenizer, evaluation, bf16=bf16, max_rows=MAX_CURVE_ROWS),
    )
    arguments = TrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=spec.training.batch_size,
        gradient_accumulation_steps=spec.training.gradient_accumulation,
        max_grad_norm=0.0,  # the callback clips, weights and scores apart
        bf16=bf16,
        seed=spec.training.seed,
        save_strategy="no",
        eval_strategy="no",
        logging_steps=max(1, steps // LOSS_POINTS),
        logging_nan_inf_filter=False,  # the default replaces a NaN loss by the average and hides a diverged run
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=model.device.type == "cuda",
        remove_unused_columns=False,
        use_cpu=model.device.type == "cpu",
    )
    trainer = _LengthGroupedTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        optimizers=(
            optimizer,
            _triangular(optimizer, steps),
        ),
        callbacks=[callback],
    )
    # Classification heads average over their own batch. The Trainer takes any **kwargs in `forward` for a promise to
    # divide by the accumulated number of items, and would multiply loss and gradients by the accumulation steps.
    trainer.model_accepts_loss_kwargs = False
    trainer.remove_callback(_printer())
    trainer.train()
    # accelerate leaves `forward` wrapped in autocast; from here on the model computes in its own fp32 again
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if pruner:
        with torch.no_grad():
            pruner.masked.settle()


def _optimizer(others: list[nn.Parameter], pruner: Pruner | None, spec: PruningSpec) -> AdamW:
    """AdamW with no decay: decay would pull kept weights towards the zero that movement pruning reads meaning from."""
    learning_rate, score_learning_rate = spec.training.learning_rate, spec.training.score_learning_rate
    assert learning_rate is not None
    groups: list[dict[str, object]] = [{"params": others}]
    if pruner:
        groups[0]["params"] = [pruner.masked.weight, *others]
        if pruner.masked.score is not None:
            groups.append({"params": [pruner.masked.score], "lr": score_learning_rate})
    return AdamW(groups, lr=learning_rate, weight_decay=0.0, fused=True)


def _triangular(optimizer: AdamW, steps: int) -> LambdaLR:
    """Learning rates rise for the first tenth of the steps and fall to zero at the last, all groups alike."""
    rise = max(1, round(LEARNING_RATE_WARMUP * steps))
    return LambdaLR(optimizer, lambda step: min(step / rise, (steps - step) / max(1, steps - rise)))


def _printer() -> type[TrainerCallback]:
    """The Trainer's callback that prints every log line to stdout."""
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


class _LengthGroupedTrainer(Trainer):
    """A Trainer whose batches hold texts of like length, from lengths known beforehand."""

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> LengthGroupedSampler:
        split = train_dataset if train_dataset is not None else self.train_dataset
        assert isinstance(split, EncodedSplit)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        generator = torch.Generator().manual_seed(self.args.seed)
        return LengthGroupedSampler(batch, lengths=split.lengths.tolist(), generator=generator)


class _Callback(TrainerCallback):
    """Prunes around each optimizer step and reports progress after it."""

    def __init__(
        self,
        others: list[nn.Parameter],
        pruner: Pruner | None,
        on_progress: OnProgress,
        *,
        phase: Phase,
        offset: int,
        total_steps: int,
        evaluate_every: int,
        evaluate_now: Callable[[], dict[str, float]],
    ) -> None:
        self._others = others
        self._pruner = pruner
        self._on_progress = on_progress
        self._phase: Phase = phase
        self._offset = offset
        self._total_steps = total_steps
        self._evaluate_every = evaluate_every
        self._evaluate_now = evaluate_now
        self._prefix = "" if phase == "pruning" else "dense/"
        self._new: dict[str, float] = {}
        self._norm: Tensor | None = None

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if self._pruner:
            self._norm = self._pruner.before_optimizer_step(self._others, MAX_GRADIENT_NORM)
        else:
            self._norm = nn.utils.clip_grad_norm_(self._others, MAX_GRADIENT_NORM)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if self._pruner:  # the Trainer counts this step only after the callback
            self._pruner.update_masks(state.global_step + 1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not torch.isfinite(torch.tensor(loss)):
            raise Diverged(
                f"The loss is {loss} at step {state.global_step}. Lower training.learning_rate or "
                "training.score_learning_rate, or set training.precision to fp32."
            )
        point = {f"{self._prefix}train/loss": float(loss)}
        if self._norm is not None:
            point[f"{self._prefix}train/gradient_norm"] = float(self._norm)
        if self._pruner:
            point["density"] = self._pruner.density
        self._report(state.global_step, point)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        step = state.global_step
        point: dict[str, float] = {}
        if step % self._evaluate_every == 0 or step == state.max_steps:
            point = {f"{self._prefix}eval/{name}": value for name, value in self._evaluate_now().items()}
        self._report(step, point)

    def _report(self, step: int, metrics: dict[str, float]) -> None:
        density = self._pruner.density if self._pruner else 1.0
        self._on_progress(Progress(self._phase, self._offset + step, self._total_steps, step, density, metrics))
