"""The ways to take an optimizer step that `step.py` compares: dense, pruned by each method, stock, the original's."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from benchmarks.original import original_optimizer, sort_in_each_forward
from pruning_core.calibration import input_norms
from pruning_core.columns import TextClassification
from pruning_core.loading import load_model, load_tokenizer
from pruning_core.methods import METHODS
from pruning_core.precision import autocast, best_device, uses_bf16
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank
from pruning_core.schedule import Schedule
from pruning_core.spec import PruningSpec
from pruning_core.tasks.base import Batch, EncodedSplit, Example, Task
from pruning_core.tasks.registry import task_of
from pruning_core.training import MAX_GRADIENT_NORM, FineTuning, Material

BATCH, TOKENS = 32, 64
#: Steps taken before any is timed, at each position: the first allocates the optimizer's state.
UNTIMED = 2
_ITEMS = 64 * BATCH


class RandomTexts(EncodedSplit):
    """Random token ids, every item of the same length, so that all batches cost the same."""

    def __init__(self, vocabulary: int) -> None:
        """Draw them, the same every time."""
        generator = np.random.default_rng(0)
        self.lengths = np.full(_ITEMS, TOKENS, dtype=np.int64)
        self._ids = generator.integers(0, vocabulary, (_ITEMS, TOKENS))
        self._labels = generator.integers(0, 2, _ITEMS)

    def __getitem__(self, item: int) -> Example:
        """Item as lists of numbers."""
        return {"input_ids": self._ids[item].tolist(), "labels": int(self._labels[item])}


@dataclass(frozen=True)
class Setting:
    """What all ways share.

    Attributes:
        directory: the pretrained model.
        steps: timed at each position.
        task, tokenizer, split: what is learnt.
        device, bf16: as a run of the service decides them.
    """

    directory: Path
    steps: int
    task: Task
    tokenizer: PreTrainedTokenizerBase
    split: EncodedSplit
    device: torch.device
    bf16: bool

    @classmethod
    def of(cls, directory: Path, tokenizer_directory: Path, steps: int) -> "Setting":
        """The setting for a model."""
        logging.disable_progress_bar()  # of loading weights, once a way
        logging.set_verbosity_error()  # a new head is meant
        tokenizer = load_tokenizer(tokenizer_directory)
        device = best_device()
        task = task_of(TextClassification(text="text", label="label"), ["negative", "positive"])
        split = RandomTexts(len(tokenizer))
        return cls(directory, steps, task, tokenizer, split, device, uses_bf16("auto", device))

    def spec(self, method: str) -> PruningSpec:
        """A run whose pruning window is ten times as long as what is timed.

        So in what is timed every rare event of a method (a look at the curvature in each tenth step, a selection
        in each tenth of the window) happens as often as it does in a run: exactly, for multiples of ten. Few steps are
        timed, but what they stand for is a long run, which prunes the given model.
        """
        shape = METHODS[method].shapes[0]
        # Heads and layers are few: at 3 % none but the protected ones would be left.
        sparsity = 0.5 if METHODS[method].granularities[0] in ("head", "layer") else 0.97
        # Steps here skip the one in which rewinding remembers, unless that is the first.
        parameters = {"rewind_to": 0.0} if method == "rewind" else {}
        schedule = {"shape": shape, "warmup": 0.1, "cooldown": 0.3} if METHODS[method].follows_schedule else {}
        training = {"max_steps": round(self.steps / 0.06), "batch_size": BATCH, "max_length": TOKENS}
        spec = PruningSpec.model_validate(
            {
                "method": method,
                "target_sparsity": sparsity,
                "pruning": {"schedule": schedule, "params": parameters},
                "training": training | {"start_from": "model"},
            }
        )
        return spec.resolved(_ITEMS, 384)

    def material(self, spec: PruningSpec) -> Material:
        """What `FineTuning` is made of."""
        split = self.split
        ranks = OneRank(self.device)
        return Material(self.task, self.tokenizer, split, split, spec, self.bf16, lambda progress: None, 1, ranks)

    def model(self, spec: PruningSpec) -> PreTrainedModel:
        """A fresh copy, loaded as runs load it, in training mode."""
        model = load_model(self.directory, self.tokenizer, self.task, spec, self.device)
        model.train()
        return model

    def batch(self, step: int) -> Batch:
        """A batch for the loops that are not ours."""
        first = step * BATCH % _ITEMS
        padded = self.task.collate(self.tokenizer, [self.split[item] for item in range(first, first + BATCH)])
        return {name: tensor.to(self.device) for name, tensor in padded.items()}


class Way(ABC):
    """One way to take steps.

    Attributes:
        schedule: of the run that the steps are of; says where its positions are.
        rare: whether some steps cost more than others, so that only their mean tells the cost.
    """

    schedule: Schedule
    rare = False

    @abstractmethod
    def go_to(self, step: int) -> None:
        """Stand where a run stands after so many steps."""

    @abstractmethod
    def step(self) -> None:
        """Take one optimizer step."""


class Ours(Way):
    """The library's own loop, dense or with a method."""

    def __init__(self, setting: Setting, method: str | None) -> None:
        """Load a model and set up a phase of a run."""
        spec = setting.spec(method or "magnitude")
        self.schedule = spec.schedule(_ITEMS)
        model = setting.model(spec)
        pruner = Pruner(model, spec, self.schedule, autocast_alone=setting.bf16) if method else None
        self.phase = FineTuning(model, setting.material(spec), pruner=pruner)
        self._done = 0
        if pruner:
            self.rare = METHODS[spec.method].order >= 2
            weights = pruner.weights
            if weights.method.calibrates:
                weights.input_norms = input_norms(
                    model, weights.matrices, setting.tokenizer, setting.task, setting.split, seed=0
                )
            pruner.begin()
            weights.method.attend(self.phase.others, self.phase.optimizer)

    def go_to(self, step: int) -> None:
        """Stand after `step` steps; the untimed ones bring the masks there."""
        self._done = step
        if self.phase.pruner:
            self.phase.pruner.stand_at(step)

    def step(self) -> None:
        """One step."""
        self.phase.step(self._done)
        self._done += 1


class PlainLoop(Way):
    """Forward, backward, clip, AdamW and a linear schedule, as in transformers' own examples without `Trainer`."""

    def __init__(self, setting: Setting, model: PreTrainedModel, optimizer: AdamW, spec: PruningSpec) -> None:
        """Take a model and its optimizer."""
        self._setting, self._model, self._optimizer = setting, model, optimizer
        self.schedule = spec.schedule(_ITEMS)
        total = self.schedule.total_steps
        self._rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / (2 * total)))
        self._done = 0

    def go_to(self, step: int) -> None:
        """Count from there."""
        self._done = step

    def step(self) -> None:
        """One step."""
        batch = self._setting.batch(self._done)
        with autocast(self._setting.device, self._setting.bf16, tokens=batch["input_ids"].shape[1]):
            loss = self._model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._rates.step()
        self._optimizer.zero_grad()
        self._done += 1


def stock(setting: Setting) -> Way:
    """What transformers does unless told otherwise: the model's dropout, every parameter trained."""
    model = AutoModelForSequenceClassification.from_pretrained(
        setting.directory, dtype=torch.float32, local_files_only=True
    )
    model.to(setting.device).train()
    spec = setting.spec("magnitude")
    return PlainLoop(setting, model, AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=True), spec)


class Original(PlainLoop):
    """The plain loop on a model that sorts the scores of each matrix in each forward pass."""

    def __init__(self, setting: Setting) -> None:
        """Load the model that our ways train, same attention and dropout, and replace its layers."""
        spec = setting.spec("movement")
        model = setting.model(spec)
        self._layers = sort_in_each_forward(model)
        assert spec.training.learning_rate is not None
        super().__init__(setting, model, original_optimizer(model, spec.training.learning_rate), spec)

    def step(self) -> None:
        """One step at the schedule's density."""
        for layer in self._layers:
            layer.share = self.schedule.density(self._done)
        super().step()


#: The ways that are not a method of ours.
OTHERS: dict[str, Callable[[Setting], Way]] = {
    "dense": lambda setting: Ours(setting, None),
    "dense_stock": stock,
    "sort_per_forward": Original,
}


def new_way(name: str, setting: Setting) -> Way:
    """A way by its name: one of `OTHERS`, or a method's."""
    return OTHERS[name](setting) if name in OTHERS else Ours(setting, name)


def positions(schedule: Schedule, steps: int) -> dict[str, int]:
    """Where steps are timed: halfway down from density 1, and at the final density."""
    window = schedule.total_steps - schedule.warmup_steps - schedule.cooldown_steps
    middle = schedule.warmup_steps + (window - steps) // 2 - UNTIMED
    return {"middle": middle, "final": schedule.total_steps - schedule.cooldown_steps + 2}


def save_bert_base(directory: Path) -> Path:
    """Write a randomly initialised BERT-base (110 million parameters): a step costs the same as a trained one's."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(BertConfig())
    model.save_pretrained(directory)
    return directory
