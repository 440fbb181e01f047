"""Writing down a run in the middle, so that it can go on as if nothing had happened."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from pruning_core.distillation import DistilledLoss
from pruning_core.parameters import parameters_by_name
from pruning_core.tasks.base import RowScores
from pruning_core.training import FineTuning, Phase

#: The one key of the file's metadata; its value is JSON.
_RUN = "run"
VERSION = 7


class CheckpointError(ValueError):
    """The checkpoint is not one of this run, or is damaged."""


@dataclass
class Position:
    """Where a run stands, apart from its tensors.

    Attributes:
        phase: `dense` or `pruning`.
        step: optimizer steps finished in the phase.
        dense_evaluation: the dense baseline's figures, once known.
        dense_rows: how each row went with it; among the tensors of a checkpoint.
        curves: metric → [[step, value]], of both phases so far.
        seconds: time spent in each phase so far.
        fingerprint: of everything the result depends on; a checkpoint continues only the same run.
    """

    phase: Phase
    step: int
    fingerprint: str
    dense_evaluation: dict[str, float] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    dense_rows: RowScores | None = None


@dataclass(frozen=True)
class Checkpointing:
    """When and where to write checkpoints.

    Attributes:
        file: the latest one; replaced as a whole.
        due: asked after every step.
        written: told of each one, before training goes on; an exception it raises ends the run.
        failed: told of each one that could not be written, as to a full disk; without it, that ends the run.
    """

    file: Path
    due: Callable[[], bool]
    written: Callable[[Path], None] = lambda path: None
    failed: Callable[[OSError], None] | None = None


def save_checkpoint(file: Path, phase: FineTuning, position: Position, distilled: DistilledLoss | None) -> None:
    """Write everything that the rest of the run depends on; what stands under the name is always a whole checkpoint.

    One safetensors file, with what is no tensor as JSON in its metadata: nothing here is ever unpickled.

    Raises:
        OSError: it could not be written, as to a full disk. What had been is removed.
    """
    tensors = phase.tensors()
    if distilled:
        tensors |= {f"teacher/{name}": torch.from_numpy(values) for name, values in distilled.teacher.logits.items()}
    # Both are the dense baseline, unless the teacher is another model, which is read anew from where it lies.
    dense = phase.target or (distilled.live if distilled else None)
    if dense is not None:
        tensors |= {f"dense/{name}": parameter for name, parameter in parameters_by_name(dense)}
    if position.dense_rows is not None:
        tensors |= {f"dense_rows/{name}": torch.from_numpy(rows) for name, rows in vars(position.dense_rows).items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if phase.model.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(phase.model.device)

    document = {
        "version": VERSION,
        "phase": position.phase,
        "step": position.step,
        "fingerprint": position.fingerprint,
        "dense_evaluation": position.dense_evaluation,
        "seconds": position.seconds,
        "curves": position.curves,
        "loss_count": phase.loss_count,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    # No copies: on a CPU what is written is what trains, and a second set of weights and moments may not fit.
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, fresh, {_RUN: json.dumps(document)})
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(file)
    except (OSError, SafetensorError) as error:
        fresh.unlink(missing_ok=True)
        raise OSError(f"The checkpoint {file.name} cannot be written: {error}.") from error


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        position: where it stands.
        tensors: everything by name, on the CPU.
        loss_count: losses summed up since the last point of the curve.
    """

    position: Position
    tensors: dict[str, Tensor]
    loss_count: int

    @classmethod
    def read(cls, file: Path, fingerprint: str) -> "Checkpoint":
        """Read one.

        Raises:
            CheckpointError: it is another run's, of another version, or no whole safetensors file.
        """
        try:
            with safe_open(file, "pt") as opened:
                document = json.loads((opened.metadata() or {}).get(_RUN, "{}"))
                if document.get("version") != VERSION or document["fingerprint"] != fingerprint:
                    raise CheckpointError(
                        f"The checkpoint {file.name} is of another run: spec, model, data and versions must be the "
                        "same. Start from the beginning."
                    )
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"The checkpoint {file.name} cannot be read: {error}. Start from an earlier one."
            ) from error
        position = Position(
            document["phase"],
            document["step"],
            fingerprint,
            document["dense_evaluation"],
            document["seconds"],
            {name: [(step, value) for step, value in points] for name, points in document["curves"].items()},
        )
        checkpoint = cls(position, tensors, document["loss_count"])
        if rows := checkpoint.under("dense_rows/"):
            position.dense_rows = RowScores(**{name: tensor.numpy() for name, tensor in rows.items()})
        return checkpoint

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without the beginning."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def teacher_logits(self) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        """The teacher's answers; empty without a teacher."""
        return {name: tensor.numpy() for name, tensor in self.under("teacher/").items()}

    @torch.no_grad()
    def restore_dense(self, model: PreTrainedModel) -> None:
        """Bring a freshly loaded model to where the dense baseline ended."""
        saved = self.under("dense/")
        for name, parameter in parameters_by_name(model):
            parameter.copy_(saved[name])

    @torch.no_grad()
    def restore(self, phase: FineTuning) -> None:
        """Bring a freshly set-up phase to where the checkpoint stands."""
        saved = self.under("model/")
        for name, parameter in parameters_by_name(phase.model):
            parameter.copy_(saved[name])
        if phase.pruner:
            weights = phase.pruner.weights
            weights.weight.copy_(self.tensors["weights/weight"])
            weights.see_mask()
            if weights.method.hides_mask:
                weights.mask.copy_(self.tensors["weights/mask"])
            if weights.trained_scores:
                weights.score.copy_(self.tensors["weights/score"])
            for name, buffer in self.under("buffers/").items():
                if name in weights.buffers:
                    weights.buffers[name].copy_(buffer)
                else:
                    weights.buffers[name] = buffer.to(weights.device)
            weights.input_norms = {name: norm.to(weights.device) for name, norm in self.under("norms/").items()}
            phase.pruner.stand_at(self.position.step)
        optimizer = phase.optimizer.state_dict()
        for name, value in self.under("optimizer/").items():
            number, key = name.split("/")
            optimizer["state"].setdefault(int(number), {})[key] = value
        phase.optimizer.load_state_dict(optimizer)
        phase.loss_sum.copy_(self.tensors["loss_sum"])
        phase.loss_count = self.loss_count
        torch.set_rng_state(self.tensors["random/cpu"])
        if "random/cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["random/cuda"], phase.model.device)
