"""What a pruning run is asked to do: the validated spec, shared by library, HTTP service and worker. No torch here."""

import math
from dataclasses import replace
from difflib import get_close_matches
from typing import Self, cast

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from pruning_core.columns import Part, TaskColumns
from pruning_core.combinations import conflict
from pruning_core.defaults import (
    DEFAULT_WARMUP,
    SHORT_RUN,
    default_cooldown,
    default_dense_learning_rate,
    default_learning_rate,
    empty_when_fitted,
    is_best_fitted,
    rate_to_learn_anew,
)
from pruning_core.granularity import Granularity
from pruning_core.methods import METHODS, Method, MethodParameters
from pruning_core.schedule import Schedule, ScheduleError, Shape
from pruning_core.settings import MOST_STEPS, Distillation, Export, Pruning, ScheduleSpec, Scope, StartFrom, Training

__all__ = ["METHODS", "MOST_STEPS", "SHORT_RUN", "PruningSpec", "Schedule", "ScheduleError", "describe_methods"]


class PruningSpec(Part):
    """One pruning run: method, target and everything that changes the resulting weights.

    Example:
        >>> PruningSpec(method="movement", target_sparsity=0.9).final_density
        0.1
    """

    method: str = Field(description="Name of a pruning method; `GET /v1/methods` lists them.")
    target_sparsity: float = Field(gt=0.0, lt=1.0, description="Share of the prunable weights removed.")
    task: TaskColumns | None = Field(default=None, description="Columns to use; inferred when left out.")
    pruning: Pruning = Field(default=Pruning(), description="What is pruned and how.")
    distillation: Distillation | None = Field(default=None, description="Also learn from a teacher; left out: no.")
    training: Training = Field(default=Training(), description="How the model is fine-tuned meanwhile.")
    export: Export = Field(default=Export(), description="What is made of the pruned model.")

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}.")
        return name

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        self.method_parameters()
        if reason := conflict(self):
            raise ValueError(reason)
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
            problems = " ".join(self._explained(problem) for problem in error.errors())
            allowed = ", ".join(model.model_fields) or "none"
            raise ValueError(f"{problems} Parameters of {self.method!r}: {allowed}.") from error

    def _explained(self, problem: ErrorDetails) -> str:
        """What is wrong with one of `pruning.params`."""
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(name, METHODS[self.method].Parameters.model_fields, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            return f"pruning.params.{name} is no parameter of {self.method!r}.{meant}"
        message = problem["msg"]
        return f"pruning.params.{name}: {message[:1].lower()}{message[1:]}, not {problem['input']!r:.80}."

    def new_method(self) -> Method:
        """The method with its parameters, for one run."""
        return METHODS[self.method](self.method_parameters())

    @property
    def granularity(self) -> Granularity:
        """What is removed, the method's default where the spec names nothing."""
        return self.pruning.granularity or cast(Granularity, METHODS[self.method].granularities[0])

    @property
    def scope(self) -> Scope:
        """Within what weights are ranked, the method's default where the spec names nothing."""
        return self.pruning.scope or cast(Scope, METHODS[self.method].scopes[0])

    @property
    def shape(self) -> Shape:
        """How density falls; where the spec names nothing, the method's default, or one cut if nothing is trained."""
        return self.pruning.schedule.shape or (METHODS[self.method].shapes[0] if self.trains else "one_shot")

    @property
    def epochs(self) -> float:
        """Passes over the training split, the method's default where the spec names none."""
        named = self.training.epochs
        return METHODS[self.method].epochs if named is None else named

    @property
    def trains(self) -> bool:
        """Whether the run has any optimizer step."""
        return self.epochs > 0 if self.training.max_steps is None else self.training.max_steps > 0

    def resolved(self, train_rows: int, width: int) -> Self:
        """The same run with every default written out, so that a record of it stays true when defaults change.

        Args:
            train_rows: items to learn from; learning rates depend on the number of steps.
            width: size of the model's hidden states, as `architectures.width` finds it; so do they on this.
        """
        steps = self.total_steps(train_rows)
        start_from, reconstructs = self.starts_from(steps), self.reconstructs(steps)
        trained = start_from == "dense"
        # Weights that stay as they are have nothing but the scores to learn with.
        scored = trained or (self.pruning.freeze_weights and steps <= SHORT_RUN)
        parameters = self.method_parameters().settled(trained=scored, density=self.final_density)
        named, method = self.training.learning_rate, METHODS[self.method]
        forgets = empty_when_fitted(steps, by_loss=method.order == 1) if reconstructs else method.forgets
        anew = rate_to_learn_anew(self.final_density, forgets) if trained else 1.0
        settled = {
            "epochs": self.epochs,
            "learning_rate": named or default_learning_rate(steps, width, knows_its_task=trained, anew=anew),
            "start_from": start_from,
        }
        if self.training.dense_baseline and self.training.dense_learning_rate is None:
            settled["dense_learning_rate"] = named or default_dense_learning_rate(width)
        if method.learns_scores and self.training.score_learning_rate is None:
            frozen = trained and self.pruning.freeze_weights
            settled["score_learning_rate"] = method(parameters).default_score_learning_rate(steps, frozen=frozen)
        return self.model_copy(
            update={
                "training": self.training.model_copy(update=settled),
                "pruning": self.pruning.model_copy(
                    update={
                        "schedule": self._schedule_of(steps),
                        "params": parameters.model_dump(),
                        "scope": self.scope,
                        "granularity": self.granularity,
                        "reconstruct": reconstructs,
                    }
                ),
            }
        )

    def _schedule_of(self, total_steps: int) -> ScheduleSpec:
        """The schedule with its default written out, where the method follows it."""
        if not METHODS[self.method].follows_schedule:
            return self.pruning.schedule
        shares = {"warmup": self.warmup(total_steps), "cooldown": self.cooldown(total_steps)}
        return self.pruning.schedule.model_copy(update={"shape": self.shape_in(total_steps), **shares})

    @property
    def final_density(self) -> float:
        """Kept share, 1 - target_sparsity, without the noise of binary fractions (0.1, not 0.09999999999999998)."""
        return round(1.0 - self.target_sparsity, 12)

    def more_is_gone(self, gone: float) -> str:
        """What is said of a model of which more is zero than the target asks for, where `start_from_mask` keeps it so.

        Args:
            gone: share of its prunable weights.
        """
        least = math.ceil(1e4 * gone) / 1e4
        raised = f"Raise target_sparsity to {least:.4g} or more, or leave" if least < 1 else "Leave"
        return (
            f"target_sparsity is {self.target_sparsity}, and {gone:.2%} of the model's prunable weights are zero "
            f"already, which pruning.start_from_mask leaves so. {raised} out start_from_mask."
        )

    def total_steps(self, train_rows: int) -> int:
        """Optimizer steps of one fine-tuning run over `train_rows` examples; the last short batch counts."""
        if not self.trains:
            return 0
        if self.training.max_steps is not None:
            return self.training.max_steps
        batches = math.ceil(train_rows / self.training.batch_size)
        per_epoch = max(1, math.ceil(batches / self.training.gradient_accumulation))
        # 100 × 1.1 is 110 steps, and 110.00000000000001 in binary.
        return max(1, math.ceil(round(per_epoch * self.epochs, 6)))

    def starts_from(self, total_steps: int) -> StartFrom:
        """What is pruned, the default where the spec names nothing."""
        training, pruning = self.training, self.pruning
        if training.start_from is not None:
            return training.start_from
        can = training.dense_baseline and self.trains and not pruning.start_from_mask
        fitted = self._is_best_fitted(total_steps) if pruning.reconstruct is None else pruning.reconstruct
        return "dense" if can and (fitted or total_steps <= SHORT_RUN) else "model"

    def reconstructs(self, total_steps: int) -> bool:
        """Whether what is left is fitted to the dense model, the default where the spec does not say."""
        if self.pruning.reconstruct is not None:
            return self.pruning.reconstruct
        fitted = self._is_best_fitted(total_steps) and not self.pruning.freeze_weights
        return fitted and self.starts_from(total_steps) == "dense"

    def _is_best_fitted(self, total_steps: int) -> bool:
        """Whether what so short a run leaves of a dense model is best fitted to it, were its weights not to stay."""
        return self.granularity != "layer" and is_best_fitted(
            total_steps, self.final_density, by_loss=METHODS[self.method].order == 1
        )

    def shape_in(self, total_steps: int) -> Shape:
        """How density falls in so many steps: all at once, too, where what is left is fitted to the dense model.

        With `magnitude` 60 steps of sentence pairs at 10 % density end at 0.51 so, and at 0.47 with a cubic descent.
        Methods that look at the loss have to have seen something of it first.
        """
        method = METHODS[self.method]
        at_once = method.order == 0 and "one_shot" in method.shapes and self.reconstructs(total_steps)
        return "one_shot" if at_once and self.pruning.schedule.shape is None else self.shape

    def warmup(self, total_steps: int) -> float:
        """Share of the steps before the first weight goes, the default where the spec names none."""
        named = self.pruning.schedule.warmup
        if named is not None:
            return named
        at_once = self.reconstructs(total_steps) and self.shape_in(total_steps) == "one_shot"
        return 0.0 if at_once else DEFAULT_WARMUP

    def cooldown(self, total_steps: int) -> float:
        """Share of the steps at the final density, the default where the spec names none."""
        named, warmup = self.pruning.schedule.cooldown, self.warmup(total_steps)
        if named is not None:
            return named
        trained = self.starts_from(total_steps) == "dense"
        return default_cooldown(
            total_steps,
            warmup,
            knows_its_task=trained,
            fitted=self.reconstructs(total_steps),
            by_weights=METHODS[self.method].order == 0,
        )

    def schedule(self, train_rows: int) -> Schedule:
        """The density schedule for `train_rows` examples.

        Raises:
            ScheduleError: the run is too short for the schedule.
        """
        steps, method = self.total_steps(train_rows), self.new_method()
        trained = self.starts_from(steps) == "dense"
        if not method.follows_schedule:
            return method.plan(Schedule(self.shape, steps, 0, 0, self.final_density, trained=trained))
        schedule = Schedule.from_shares(
            self.shape_in(steps),
            total_steps=steps,
            warmup=self.warmup(steps),
            cooldown=self.cooldown(steps),
            final_density=self.final_density,
            shapes=method.shapes,
        )
        return method.plan(replace(schedule, trained=trained))


def describe_methods() -> list[dict[str, object]]:
    """Every method with its parameters as JSON Schema, for people and clients to choose from."""
    return [
        {
            "name": name,
            "summary": method.summary,
            "source": method.source,
            "order": method.order,
            "learns_scores": method.learns_scores,
            "scopes": list(method.scopes),
            "granularities": list(method.granularities),
            "schedule_shapes": list(method.shapes),
            "default_schedule_shape": method.shapes[0] if method.follows_schedule else None,
            "default_epochs": method.epochs,
            "works_untrained": method.works_untrained,
            "parameters": method.Parameters.model_json_schema().get("properties", {}),
        }
        for name, method in METHODS.items()
    ]
