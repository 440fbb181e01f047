"""A teacher's answers: computed once for the training split, or in each step where hidden states are wanted too."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.attention_mask import with_finished_mask
from pruning_core.evaluation import Tick, accepted, answers, nobody_waits
from pruning_core.ranks import OneRank, Portion
from pruning_core.settings import Distillation
from pruning_core.tasks.base import Batch, EncodedSplit, Task


class Teacher:
    """What a dense model answers to each item of the training split.

    A teacher is in eval mode and never trains, so its answers are the same in every epoch: one forward pass over the
    split serves them all, and a step costs no more than without a teacher.

    Attributes:
        logits: for each of the task's outputs, the values of all items in a row, fp32.
    """

    def __init__(self, task: Task, split: EncodedSplit, logits: dict[str, NDArray[np.float32]]) -> None:
        """Take logits as `answer_all` made them."""
        self.logits = logits
        self._per_token = task.per_token
        sizes = split.lengths if task.per_token else np.ones(len(split), dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    @classmethod
    def answer_all(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        split: EncodedSplit,
        ranks: OneRank,
        *,
        bf16: bool,
        tick: Tick = nobody_waits,
    ) -> "Teacher":
        """Let a model answer every item of a split, each rank as many; `tick` is called before each batch."""
        teacher = cls(task, split, {})
        own_items = ranks.own_items(split)
        for items, _, output in answers(model, tokenizer, task, split, own_items, bf16=bf16, tick=tick):
            for name in task.logits:
                values = output[name].float().cpu().numpy()
                shape = (teacher._starts[-1], *values.shape[2 if task.per_token else 1 :])
                found = teacher.logits.setdefault(name, np.zeros(shape, dtype=np.float32))
                for row, item in enumerate(items):
                    own = slice(teacher._starts[item], teacher._starts[item + 1])
                    found[own] = values[row, : split.lengths[item]] if task.per_token else values[row]
        for found in teacher.logits.values():
            total = torch.from_numpy(found).to(model.device)
            ranks.add_up([total])
            found[:] = total.cpu().numpy()
        return teacher

    def answers(self, items: Sequence[int], batch: Batch) -> dict[str, Tensor]:
        """The logits for a batch, padded as the batch is: name → [b, …]."""
        padded = batch["input_ids"].shape[1]
        result = {}
        for name, values in self.logits.items():
            rows = [torch.from_numpy(values[self._starts[item] : self._starts[item + 1]]) for item in items]
            if self._per_token:
                stacked = torch.zeros(len(rows), padded, *values.shape[1:])
                for i, row in enumerate(rows):
                    stacked[i, : len(row)] = row
            else:
                stacked = torch.cat(rows)
            result[name] = stacked.to(batch["input_ids"].device, non_blocking=True)
        return result


def hidden_state_loss(student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
    """Mean squared difference of all layers' hidden states over real tokens (as in MobileBERT and nn_pruning)."""
    real = batch["attention_mask"].unsqueeze(-1)
    losses = [
        (F.mse_loss(ours.float(), theirs.float(), reduction="none") * real).sum() / (real.sum() * ours.shape[-1])
        for ours, theirs in zip(_hidden(student)[1:], _hidden(teacher)[1:], strict=True)
    ]
    return torch.stack(losses).mean()


def _hidden(output: ModelOutput) -> Sequence[Tensor]:
    states: Sequence[Tensor] = output.get("hidden_states") or output["encoder_hidden_states"]
    return states


class DistilledLoss:
    """α·KL(teacher ‖ student)·T² + (1 - α)·L + β·‖hidden states‖ (paper, section 6).

    Attributes:
        teacher: its answers.
        live: the teacher itself, where hidden states are compared.
    """

    def __init__(self, task: Task, settings: Distillation, teacher: Teacher, live: PreTrainedModel | None) -> None:
        """Keep what a step needs.

        Args:
            task: compares answers.
            settings: α, T, β.
            teacher: answers known beforehand.
            live: the teacher itself, in eval mode, where β > 0.
        """
        self.teacher = teacher
        self._task = task
        self._settings = settings
        self.live = live

    @property
    def wants_hidden_states(self) -> bool:
        """Whether the student must output them."""
        return self.live is not None

    def __call__(self, output: ModelOutput, portion: Portion, batch: Batch) -> Tensor:
        """What a rank's portion adds to the loss of a batch."""
        settings = self._settings
        theirs = self.teacher.answers(portion.items, batch)
        soft = self._task.distillation_loss(output, theirs, batch, settings.temperature)
        soft = soft * (portion.tokens if self._task.distils_tokens else portion.terms)
        loss = settings.alpha * soft + (1.0 - settings.alpha) * self._task.loss(output, batch) * portion.terms
        if self.live is not None:
            with torch.no_grad():
                inputs = with_finished_mask(self.live, accepted(self.live, batch))
                teacher = self.live(**inputs, output_hidden_states=True)
            loss = loss + settings.hidden * hidden_state_loss(output, teacher, batch) * portion.tokens
        return loss
