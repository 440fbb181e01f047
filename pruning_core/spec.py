"""What a pruning run is asked to do: the validated spec, shared by library, HTTP service and worker. No torch here."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pruning_core.architectures import compile_pattern
from pruning_core.methods import METHODS, MethodParameters
from pruning_core.schedule import Schedule, ScheduleError, Shape

__all__ = ["METHODS", "PruningSpec", "Schedule", "ScheduleError", "describe_methods"]

#: AdamW's peak rate for the weights. The paper's 3e-5 suits runs of ten thousand steps; short jobs need more.
DEFAULT_LEARNING_RATE = 1e-4

Precision = Literal["auto", "fp32", "bf16"]
Scope = Literal["global", "local"]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Part(BaseModel):
    """A part of the spec: unknown fields are refused, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TextClassification(Part):
    """Which columns hold the text (or the pair of texts) and the label."""

    type: Literal["text-classification"] = "text-classification"
    text: str = Field(description="Column with the text, or the first text of a pair.", min_length=1)
    text_pair: str | None = Field(default=None, description="Column with the second text of a pair.", min_length=1)
    label: str = Field(description="Column with the label: strings, integers or booleans.", min_length=1)

    @model_validator(mode="after")
    def _distinct_columns(self) -> Self:
        columns = [column for column in (self.text, self.text_pair, self.label) if column is not None]
        if len(set(columns)) != len(columns):
            raise ValueError("text, text_pair and label must name different columns.")
        return self


class ScheduleSpec(Part):
    """When pruning happens, in shares of the run's own optimizer steps."""

    shape: Shape = Field(default="cubic", description="`cubic` (Zhu & Gupta), `linear`, or `one_shot`.")
    warmup: Share = Field(default=0.1, description="Share of the steps before the first weight is removed.")
    cooldown: Share = Field(default=0.3, description="Share of the steps trained at the final density.")


class Pruning(Part):
    """What is pruned and how."""

    scope: Scope = Field(
        default="global", description="`global` ranks all prunable weights together, `local` within each matrix."
    )
    granularity: Literal["element"] = Field(default="element", description="What is removed: single weights.")
    schedule: ScheduleSpec = Field(default=ScheduleSpec(), description="When weights are removed.")
    modules: str | None = Field(
        default=None,
        max_length=500,
        description="RE2 regular expression searched in module names; default: every linear layer of the encoder.",
    )
    params: dict[str, str | int | float | bool] = Field(
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

    epochs: float = Field(default=6.0, gt=0.0, le=1000.0, description="Passes over the training split.")
    max_steps: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Optimizer steps; replaces epochs when given."
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="Examples per forward pass.")
    gradient_accumulation: int = Field(default=1, ge=1, le=1024, description="Forward passes per optimizer step.")
    learning_rate: float | None = Field(
        default=None, gt=0.0, le=1.0, description="AdamW's peak learning rate for the weights; default 1e-4."
    )
    score_learning_rate: float | None = Field(
        default=None, gt=0.0, le=100.0, description="Adam's peak learning rate for the scores; default by method."
    )
    max_length: int = Field(default=128, ge=8, le=8192, description="Tokens per example; longer ones are cut.")
    precision: Precision = Field(
        default="auto", description="`auto` takes bf16 autocast where the hardware computes in it, else fp32."
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="Same seed, same hardware: same masks and weights.")
    freeze_embeddings: bool = Field(default=True, description="Keep embeddings as pretrained, as in the paper.")
    dense_baseline: bool = Field(
        default=True,
        description="Also fine-tune the unpruned model on the same data and steps, to compare with. "
        "Without it a run takes about half the time.",
    )


class PruningSpec(Part):
    """One pruning run: method, target and everything that changes the resulting weights.

    Example:
        >>> PruningSpec(method="movement", target_sparsity=0.9).final_density
        0.1
    """

    method: str = Field(description="Name of a pruning method; `GET /v1/methods` lists them.")
    target_sparsity: float = Field(gt=0.0, lt=1.0, description="Share of the prunable weights removed.")
    task: TextClassification | None = Field(default=None, description="Columns to use; inferred when left out.")
    pruning: Pruning = Field(default=Pruning(), description="What is pruned and how.")
    training: Training = Field(default=Training(), description="How the model is fine-tuned meanwhile.")

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}.")
        return name

    @model_validator(mode="after")
    def _method_parameters_are_valid(self) -> Self:
        self.method_parameters()
        if self.training.score_learning_rate is not None and not METHODS[self.method].learns_scores:
            raise ValueError(
                f"training.score_learning_rate does not apply: method {self.method!r} learns no scores. Leave it out."
            )
        return self

    def method_parameters(self) -> MethodParameters:
        """`pruning.params` as the method's own type.

        Raises:
            ValueError: a parameter is unknown or out of range; the message names it and what is allowed.
        """
        model = METHODS[self.method].Parameters
        try:
            return model.model_validate(self.pruning.params)
        except ValidationError as error:
            problems = "; ".join(
                f"pruning.params.{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
            )
            allowed = ", ".join(model.model_fields) or "none"
            raise ValueError(f"{problems}. Parameters of {self.method!r}: {allowed}.") from error

    def resolved(self) -> Self:
        """The same run with every default written out, so that a record of it stays true when defaults change."""
        parameters = self.method_parameters()
        rates = {"learning_rate": self.training.learning_rate or DEFAULT_LEARNING_RATE}
        method = METHODS[self.method]
        if method.learns_scores and self.training.score_learning_rate is None:
            rates["score_learning_rate"] = method(parameters).default_score_learning_rate()
        return self.model_copy(
            update={
                "training": self.training.model_copy(update=rates),
                "pruning": self.pruning.model_copy(update={"params": parameters.model_dump()}),
            }
        )

    @property
    def final_density(self) -> float:
        """Kept share, 1 - target_sparsity, without the noise of binary fractions (0.1, not 0.09999999999999998)."""
        return round(1.0 - self.target_sparsity, 12)

    def total_steps(self, train_rows: int) -> int:
        """Optimizer steps of one fine-tuning run over `train_rows` examples; the last short batch counts."""
        if self.training.max_steps is not None:
            return self.training.max_steps
        batches = math.ceil(train_rows / self.training.batch_size)
        per_epoch = max(1, math.ceil(batches / self.training.gradient_accumulation))
        return math.ceil(per_epoch * self.training.epochs)

    def schedule(self, train_rows: int) -> Schedule:
        """The density schedule for `train_rows` examples.

        Raises:
            ScheduleError: the run is too short for the schedule.
        """
        shares = self.pruning.schedule
        return Schedule.from_shares(
            shares.shape,
            total_steps=self.total_steps(train_rows),
            warmup=shares.warmup,
            cooldown=shares.cooldown,
            final_density=self.final_density,
        )


def describe_methods() -> list[dict[str, object]]:
    """Every method with its parameters as JSON Schema, for people and clients to choose from."""
    return [
        {
            "name": name,
            "summary": method.summary,
            "source": method.source,
            "learns_scores": method.learns_scores,
            "parameters": method.Parameters.model_json_schema().get("properties", {}),
        }
        for name, method in METHODS.items()
    ]
