"""One pruning run from start to end: encode, fine-tune dense, fine-prune, export, verify, report."""

import hashlib
import math
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from pruning_core.advice import Advice, advice_for
from pruning_core.calibration import input_norms
from pruning_core.checkpoint import Checkpoint, CheckpointError, Checkpointing, Position, save_checkpoint
from pruning_core.delivery import PruningResult, deliver
from pruning_core.distillation import DistilledLoss, Teacher
from pruning_core.evaluation import Tick, judge, nobody_waits
from pruning_core.exports import check_exports
from pruning_core.histogram import ranks_by_weight
from pruning_core.loading import ModelError, in_the_models_order, load_model, load_teacher, load_tokenizer, width_of
from pruning_core.parameters import mark_as_new
from pruning_core.peers import NoSuchDevices, Order, PeerLost, PeerOutOfMemory, gathered
from pruning_core.positions import within_positions
from pruning_core.precision import uses_bf16
from pruning_core.pruner import Pruner
from pruning_core.ranks import OneRank
from pruning_core.report import sha256_of
from pruning_core.spec import PruningSpec
from pruning_core.splits import encode_splits, tables_of
from pruning_core.tasks.base import DataError, Label, Task
from pruning_core.tasks.registry import TASKS, task_of
from pruning_core.training import FineTuning, Material, OnProgress, Progress

__all__ = [
    "CheckpointError",
    "Checkpointing",
    "ModelError",
    "NoSuchDevices",
    "PeerLost",
    "PeerOutOfMemory",
    "Progress",
    "PruningResult",
    "prune",
]


def prune(
    model: str | Path,
    train: pa.Table,
    spec: PruningSpec,
    output: str | Path,
    *,
    evaluation: pa.Table | None = None,
    labels: Sequence[Label] | None = None,
    teacher: str | Path | None = None,
    on_progress: OnProgress | None = None,
    tick: Tick = nobody_waits,
    checkpointing: Checkpointing | None = None,
    resume_from: str | Path | None = None,
    illustrated: bool = True,
    job: dict[str, object] | None = None,
    lineage_extra: dict[str, object] | None = None,
) -> PruningResult:
    """Fine-prune a pretrained model on a dataset.

    Args:
        model: a local Hugging Face model directory with config, tokenizer and safetensors.
        train: rows to learn from; `spec.task` names the columns.
        spec: method, target and training.
        output: directory, created, or an earlier run's, which is replaced; receives `model/`, `model.packed`,
            `masks.safetensors`, `report.json`, `report.html`, and what `spec.export` asks for.
        evaluation: rows to judge on; without them a seeded 10 % of `train` is held out, each class in proportion.
        labels: class labels in the order of their ids; default: the distinct labels of both tables, in the model's own
            order where its head knows the same ones, else sorted.
        teacher: a model directory, for a `spec.distillation` whose teacher is not `self`.
        on_progress: called after every optimizer step, once before what is left is fitted to the dense model, where it
            is, and once when all is done, before results are judged and written; an exception it raises ends the run.
        tick: called where work goes on without a step, before each batch that is judged and each matrix that is fitted;
            so does one it raises.
        checkpointing: when and where to write checkpoints; without it, none.
        resume_from: a checkpoint file of the same run to go on from; on a CPU the result is the same, bit for bit.
        illustrated: also time the model and draw `report.html`, which takes some seconds.
        job: the service's spec of the run, for the report to be repeated by; the service has told its advice.
        lineage_extra: more lines for the report's lineage, such as a dataset's checksum.

    Warns:
        Advice: the method is outside the regime it is good in, or the run very short; what a job is told at submit.

    Raises:
        ScheduleError: the run is too short for the schedule.
        DataError: rows do not fit the task.
        ModelError: the model's weights do not fit its config, or are no finite numbers, or a teacher's do not fit the
            task, or `max_length` is beyond the model's positions, or it cannot be exported as `spec.export` asks.
        NothingToPrune: no matrix matches `pruning.modules`, or the model has no such units.
        Diverged: the loss is no longer finite.
        CheckpointError: the checkpoint is another run's, or damaged.
        ExportMismatch: the exported model is not the trained one.
        NoSuchDevices: `training.gpus` asks for more than there are.
        PeerLost: the process of another device has ended.
        PeerOutOfMemory: for want of memory.
    """
    order = Order(
        Path(model),
        train,
        spec,
        evaluation,
        labels,
        None if teacher is None else Path(teacher),
        None if resume_from is None else Path(resume_from),
    )
    with gathered(order) as ranks:
        run = Run(order, ranks, on_progress=on_progress, tick=tick, checkpointing=checkpointing)
        for advice in advice_for(spec, run.steps) if job is None else ():
            warnings.warn(advice, Advice, stacklevel=2)
        pruner, network = run.all_phases()

    if on_progress is not None and run.steps:
        steps = run.phases * run.steps
        on_progress(Progress("delivering", steps, steps, run.steps, pruner.density))
    return deliver(run, pruner, network, Path(output), illustrated=illustrated, job=job, lineage_extra=lineage_extra)


class Run:
    """The phases of a run, and where it stands; every rank carries them out."""

    def __init__(
        self,
        order: Order,
        ranks: OneRank,
        *,
        on_progress: OnProgress | None = None,
        tick: Tick = nobody_waits,
        checkpointing: Checkpointing | None = None,
    ) -> None:
        """Read and encode everything.

        Args:
            order: what to do.
            ranks: who does it.
            on_progress: as in `prune`; for the rank that leads.
            tick: likewise.
            checkpointing: as in `prune`; for the rank that leads.
        """
        model_dir, spec = order.model, order.spec
        columns = spec.task
        if columns is None:
            raise DataError(
                "The spec names no task. Say which columns hold text and label: task={'text': …, 'label': …}."
            )
        check_exports(spec.export, model_dir)
        tables = tables_of(order.train, order.evaluation, columns)
        labels = order.labels
        if labels is None:
            labels = in_the_models_order(model_dir, TASKS[type(columns)].labels_in(list(tables.values()), columns))
        self.model_dir = model_dir
        self.teacher_dir = order.teacher
        self.ranks = ranks
        self.task: Task = task_of(columns, labels)
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(model_dir)
        spec = within_positions(spec, model_dir)
        splits = encode_splits(self.task, tables, self.tokenizer, spec.training.max_length, spec.training.seed)
        self.train, self.evaluation, self.rows = splits.train, splits.evaluation, splits.rows
        self.schedule = spec.schedule(len(self.train))
        self.spec = spec.resolved(len(self.train), width_of(model_dir))
        if len(self.train) < ranks.size:
            raise DataError(
                f"There are {len(self.train)} examples to learn from, fewer than training.gpus {ranks.size}."
            )
        self.device = ranks.device
        self.bf16 = uses_bf16(spec.training.precision, self.device)
        self.steps = self.spec.total_steps(len(self.train))
        self.phases = 2 if spec.training.dense_baseline else 1
        fingerprint = self._fingerprint([table.select(list(columns.names().values())) for table in tables.values()])
        self.position = Position("dense" if self.phases == 2 else "pruning", 0, fingerprint)
        self.checkpointing = checkpointing
        self.on_progress, self.tick = on_progress, tick
        self.asked, self.judged, self.holds_out = order.spec, splits.judged, order.evaluation is None
        self.histogram: dict[str, object] | None = None
        self.checkpoint: Checkpoint | None = None
        if order.resume_from is not None:
            self.checkpoint = Checkpoint.read(order.resume_from, fingerprint)
            self.position = self.checkpoint.position
        if self.position.phase == "dense":
            # Refuse now what would be refused after hours of dense training.
            Pruner(self.load(), self.spec, self.schedule).require_room(self.spec)
        self.material = Material(
            self.task,
            self.tokenizer,
            self.train,
            self.evaluation,
            self.spec,
            self.bf16,
            self._note,
            self.phases * self.steps,
            ranks,
            tick,
        )

    def all_phases(self) -> tuple[Pruner, PreTrainedModel]:
        """All phases; the pruned model, settled."""
        dense = self.fine_tune_dense()
        return self.fine_prune(dense)

    def load(self) -> PreTrainedModel:
        return load_model(
            self.model_dir, self.tokenizer, self.task, self.spec, self.device, head_required=not self.spec.trains
        )

    def fine_tune_dense(self) -> PreTrainedModel | None:
        """The dense baseline; None where none is wanted, or where it was finished before the checkpoint."""
        if self.position.phase == "pruning":
            return None
        network = self.load()
        self._carry_out(FineTuning(network, self.material), None)
        if self.ranks.leads:
            self.position.dense_evaluation, quality = judge(
                network, self.tokenizer, self.task, self.evaluation, tick=self.tick
            )
            self.position.dense_rows = quality.by_row()
        self.position.phase, self.position.step = "pruning", 0
        return network

    def fine_prune(self, dense: PreTrainedModel | None) -> tuple[Pruner, PreTrainedModel]:
        """The pruned model, settled."""
        distilled = self._distilled(dense)
        network = self._to_prune(dense)
        pruner = Pruner(network, self.spec, self.schedule, autocast_alone=self.bf16 and self.ranks.size == 1)
        pruner.require_room(self.spec)
        if pruner.weights.method.calibrates and self.checkpoint is None:
            pruner.weights.input_norms = input_norms(
                network, pruner.weights.matrices, self.tokenizer, self.task, self.train, seed=self.spec.training.seed
            )
        set_seed(self.spec.training.seed)
        phase = FineTuning(
            network,
            self.material,
            pruner=pruner,
            distilled=distilled,
            target=self._target(pruner, dense),
            finished_steps=(self.phases - 1) * self.steps,
        )
        if self.position.step == 0:
            started = time.monotonic()
            phase.begin()
            self.position.seconds["pruning"] = time.monotonic() - started
        self._carry_out(phase, distilled)
        if self.ranks.leads:
            self.histogram = ranks_by_weight(pruner.weights)
        pruner.weights.settle()
        return pruner, network

    def _to_prune(self, dense: PreTrainedModel | None) -> PreTrainedModel:
        """What pruning starts from. Where it goes on from a checkpoint, that brings the weights."""
        network = self.load()
        if self.spec.training.start_from == "dense":
            mark_as_new(network, ())  # its head has been trained, and learns like the rest
            if dense is not None:
                network.load_state_dict(dense.state_dict())
        return network

    def _target(self, pruner: Pruner, dense: PreTrainedModel | None) -> PreTrainedModel | None:
        """What the pruned model is fitted to when it is as sparse as it gets; None where it is not, or has been."""
        if not self.spec.pruning.reconstruct or self.position.step >= max(1, pruner.schedule.reached_at):
            return None
        if dense is None:
            dense = self.load()  # where nothing is trained, the model as it is given
            if self.checkpoint:
                self.checkpoint.restore_dense(dense)
        return dense

    def _note(self, progress: Progress) -> None:
        """Keep the points of the curves for the report, and pass on."""
        for name, value in progress.metrics.items():
            if math.isfinite(value):
                self.position.curves.setdefault(name, []).append((progress.phase_step, value))
        if self.on_progress is not None:
            self.on_progress(progress)

    def _distilled(self, dense: PreTrainedModel | None) -> DistilledLoss | None:
        """The loss with a teacher, whose answers are computed here or come from the checkpoint."""
        settings = self.spec.distillation
        if settings is None:
            return None
        if settings.teacher == "self":
            live = dense
        elif self.teacher_dir is None:
            raise ModelError("The spec names a teacher: give its directory as `teacher`.")
        else:
            live = load_teacher(
                self.teacher_dir, self.tokenizer, self.task, self.spec, self.device, student=self.model_dir
            )
        if live is not None:
            live.train(mode=False)  # the dense baseline has just been trained
        saved = self.checkpoint
        if saved and live is None and settings.hidden > 0:
            live = self.load()
            saved.restore_dense(live)
        if saved:
            teacher = Teacher(self.task, self.train, saved.teacher_logits())
        else:
            assert live is not None
            teacher = Teacher.answer_all(
                live, self.tokenizer, self.task, self.train, self.ranks, bf16=self.bf16, tick=self.tick
            )
        return DistilledLoss(self.task, settings, teacher, live if settings.hidden > 0 else None)

    def _carry_out(self, phase: FineTuning, distilled: DistilledLoss | None) -> None:
        """Train a phase to its end, from the checkpoint where there is one, and write checkpoints on the way."""
        name = self.position.phase
        first = self.position.step
        if self.checkpoint:
            self.checkpoint.restore(phase)
            self.checkpoint = None
        before = self.position.seconds.get(name, 0.0)
        started = time.monotonic()

        def after_step(step: int) -> None:
            self.position.step = step
            self.position.seconds[name] = before + time.monotonic() - started
            if self.checkpointing and self.checkpointing.due():
                self._save(self.checkpointing, phase, distilled)

        phase.run(first, after_step)
        self.position.seconds.setdefault(name, 0.0)

    def _save(self, checkpointing: Checkpointing, phase: FineTuning, distilled: DistilledLoss | None) -> None:
        try:
            save_checkpoint(checkpointing.file, phase, self.position, distilled)
        except OSError as error:
            if checkpointing.failed is None:
                raise
            checkpointing.failed(error)
        else:
            self.ranks.check()
            checkpointing.written(checkpointing.file)

    def _fingerprint(self, tables: Sequence[pa.Table]) -> str:
        """Of all that the result depends on: spec, weights, rows, labels, versions, device."""
        digest = hashlib.sha256(self.spec.model_dump_json(exclude={"export"}).encode())
        for path in sorted(self.model_dir.glob("*.safetensors")):
            digest.update(sha256_of(path).encode())
        for table in tables:
            for column in table.columns:
                for chunk in column.chunks:
                    for value in chunk.to_pylist():
                        digest.update(repr(value).encode())
        setting = (self.task.labels, self.bf16, self.device.type, version("torch"), version("transformers"))
        digest.update(repr(setting).encode())
        return digest.hexdigest()
