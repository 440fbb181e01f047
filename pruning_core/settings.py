"""The parts of a spec that say what is pruned, when, and how the model is trained meanwhile. No torch here."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from pruning_core.architectures import compile_pattern
from pruning_core.columns import Part
from pruning_core.granularity import Granularity
from pruning_core.packed.precision import Precision as PackedPrecision
from pruning_core.schedule import Shape

#: No machine has more.
MOST_GPUS = 64
#: Of one run, dense or pruned.
MOST_STEPS = 10_000_000
#: What a batch_size of `auto` begins with.
_AUTO_BATCH = 32
_MOST_PASSES = 1024
_PASSES = {"type": "integer", "minimum": 1, "maximum": _MOST_PASSES}
_BATCH_SIZE = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4096}, {"const": "auto"}]}

Precision = Literal["auto", "fp32", "bf16"]
Scope = Literal["global", "local", "budget"]
StartFrom = Literal["model", "dense"]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class ScheduleSpec(Part):
    """When pruning happens, in shares of the run's own optimizer steps."""

    shape: Shape | None = Field(
        default=None,
        description="`cubic` (Zhu & Gupta), `linear`, or `one_shot`. Default: `cubic`, but `one_shot` for `wanda`, "
        "where nothing is trained, and where what is left is fitted to the dense model (`pruning.reconstruct`).",
    )
    warmup: Share | None = Field(
        default=None,
        description="Share of the steps before the first weight is removed. Default: 0.1, but 0 where `shape` is "
        "`one_shot` for being fitted.",
    )
    cooldown: Share | None = Field(
        default=None, description="Share of the steps trained at the final density; default by the number of steps."
    )


class Pruning(Part):
    """What is pruned and how."""

    scope: Scope | None = Field(
        default=None,
        description="`global` ranks all prunable weights together, `local` within each matrix, `budget` within each "
        "matrix with budgets in proportion to its scores' Σσ(S). Default: `global`, but `local` for `wanda`.",
    )
    granularity: Granularity | None = Field(
        default=None,
        description="What is removed: `element` (single weights), `row`, `column`, `head`, `layer`, "
        '`{"block": [rows, columns]}`, or `2:4` (two of every four). Default: `element`, but by method for `head` and '
        "`layerdrop`.",
    )
    schedule: ScheduleSpec = Field(default=ScheduleSpec(), description="When weights are removed.")
    freeze_weights: bool = Field(
        default=False,
        description="Leave the prunable weights as they are when pruning begins and learn only which of them to keep.",
    )
    start_from_mask: bool = Field(
        default=False,
        description="For a model that was pruned before: what is zero in its prunable matrices stays zero and counts "
        "towards the target.",
    )
    reconstruct: bool | None = Field(
        default=None,
        description="When the final density is reached, fit what is left of each matrix by least squares to what the "
        "dense model says in its place; masks stay from then on. Default: in short runs that prune the dense "
        "baseline to 5 % or less; to 30 % or less with methods that hardly look at the loss.",
    )
    modules: str | None = Field(
        default=None,
        max_length=500,
        description="RE2 regular expression searched in module names; default: every linear layer of the encoder.",
    )
    params: dict[str, str | int | float | bool | None] = Field(
        default={}, description="The method's own parameters; `GET /v1/methods` lists them."
    )

    @field_validator("modules")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            compile_pattern(pattern or "")
        except ValueError as error:
            raise ValueError(f"not a regular expression in RE2's syntax: {error}.") from error
        return pattern


class Training(Part):
    """How the model is fine-tuned while it is pruned. None means a default that suits the method."""

    epochs: float | None = Field(
        default=None,
        ge=0.0,
        le=1000.0,
        description="Passes over the training split; 0 prunes without training. Default: 6, but 0 for `wanda`.",
    )
    max_steps: int | None = Field(
        default=None, ge=0, le=MOST_STEPS, description="Optimizer steps; replaces epochs when given."
    )
    batch_size: Annotated[int, WithJsonSchema(_BATCH_SIZE)] = Field(
        default=_AUTO_BATCH,
        ge=1,
        le=4096,
        description="Examples per forward pass. `auto` begins with 32; where that does not fit into memory, it goes on "
        "with half as many in twice as many passes.",
    )
    auto_batch: bool = Field(
        default=False, description="Set by a batch_size of `auto`: it may be halved where memory does not suffice."
    )
    gradient_accumulation: Annotated[int, WithJsonSchema(_PASSES)] = Field(
        default=1, ge=1, description="Forward passes per optimizer step."
    )
    gpus: int = Field(
        default=1,
        ge=1,
        le=MOST_GPUS,
        description="Devices that train the job together, all on one machine. `batch_size` is what they have together, "
        "so that the result is that of one device, up to rounding. 1 takes whatever is there, a CPU too.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="AdamW's peak learning rate for the weights; default by model and steps.",
    )
    dense_learning_rate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="AdamW's peak learning rate for the dense baseline; default: `learning_rate` where that is given, "
        "else by model and steps.",
    )
    head_learning_rate_multiplier: float = Field(
        default=5.0,
        gt=0.0,
        le=1000.0,
        description="How many times as fast as the rest a new head learns; one that the model brings learns like the "
        "rest.",
    )
    score_learning_rate: float | None = Field(
        default=None, gt=0.0, le=100.0, description="Adam's peak learning rate for the scores; default by method."
    )
    max_length: int = Field(default=128, ge=8, le=8192, description="Tokens per example; longer ones are cut.")
    precision: Precision = Field(
        default="auto", description="`auto` takes bf16 autocast where the hardware computes in it, else fp32."
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="Same seed, same hardware: same masks and weights.")
    dropout: float | None = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Dropout in the encoder while training; null keeps the model's own. Pruning regularizes enough, "
        "and dropout slows what short runs learn.",
    )
    start_from: StartFrom | None = Field(
        default=None,
        description="What is pruned: the job's `model` as it is, or the `dense` baseline, which is fine-tuned first "
        "anyway. Default: `dense` in runs of up to 300 steps, in which a model has no time to learn a task while it is "
        "pruned, and in somewhat longer ones that leave 5 % or less, where what is left is fitted to it "
        "(`pruning.reconstruct`) unless weights are frozen; `model` in longer ones, and with a mask to start from.",
    )
    freeze_embeddings: bool = Field(default=True, description="Keep embeddings as pretrained, as in the paper.")
    dense_baseline: bool = Field(
        default=True,
        description="Also fine-tune the unpruned model on the same data and steps, to compare with. "
        "Without it a run takes about half the time.",
    )

    @field_validator("gradient_accumulation")
    @classmethod
    def _few_passes(cls, passes: int, fields: ValidationInfo) -> int:
        most = _MOST_PASSES
        if fields.data.get("auto_batch") and (size := fields.data.get("batch_size")):
            most = most * _AUTO_BATCH // size  # a batch that was halved has twice as many
        if passes > most:
            raise ValueError(f"must be less than or equal to {most}.")
        return passes

    @model_validator(mode="before")
    @classmethod
    def _auto_batch(cls, fields: object) -> object:
        if isinstance(fields, dict) and fields.get("batch_size") == "auto":
            return {**fields, "batch_size": _AUTO_BATCH, "auto_batch": True}
        return fields


class Distillation(Part):
    """A teacher whose answers the pruned model learns from, besides the labels (paper, section 6)."""

    teacher: str = Field(
        default="self",
        min_length=1,
        max_length=500,
        description="`self`: the dense model, fine-tuned first. Or a model of the same task and labels.",
    )
    alpha: float = Field(
        default=0.9, gt=0.0, le=1.0, description="Weight of the teacher's answers; 1 - alpha is the labels'."
    )
    temperature: float = Field(
        default=2.0, ge=0.01, le=100.0, description="Softens both models' answers before they are compared."
    )
    hidden: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Weight of a loss on hidden states, for a teacher of the same shape; costs a forward pass of the "
        "teacher in each step.",
    )


class Export(Part):
    """What is made of the pruned model besides its directory."""

    packed: PackedPrecision = Field(
        default="fp32",
        description="How `model.packed` keeps what pruning left of the matrices: `fp32` exactly, `fp16` or `int8` "
        "rounded; rounded ones are judged again.",
    )
    packed_unpruned: PackedPrecision | None = Field(
        default=None,
        description="The same for matrices that are not pruned, such as embeddings. Default: as `packed`.",
    )

    structured: bool = Field(
        default=False,
        description="Also leave `structured/`: the model without its dead attention heads and feed-forward neurons, "
        "physically smaller; and time it. Needs a granularity that removes whole ones.",
    )
    onnx: bool = Field(
        default=False,
        description="Also leave `model.onnx`, of the structured model where there is one; judged in ONNX Runtime.",
    )
    int8: bool = Field(
        default=False, description="Also leave `model.int8.onnx`, its weights quantised; judged again. Needs `onnx`."
    )

    @property
    def exact(self) -> bool:
        """Whether what is packed loses nothing."""
        return self.packed == "fp32" and self.packed_unpruned in ("fp32", None)
