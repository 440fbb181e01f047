"""What a job would be, without making it: the resolved spec, its steps, its schedule and what memory it needs."""

from math import prod

from pydantic import BaseModel, Field

from api.jobs.resolve import Resolved
from api.models.shapes import matrices_of, shapes_of
from pruning_core.methods import METHODS

#: The schedule is shown at about this many steps.
_POINTS = 20
_FLOAT_BYTES = 4
#: Per trained parameter: itself, its gradient, Adam's two moments.
_TRAINED = 4 * _FLOAT_BYTES
#: Per prunable weight besides: the masked weight that the model computes with, and the mask.
_MASKED = _FLOAT_BYTES + 1
#: Per prunable weight of a method that learns scores: score and two moments; its gradient lies in the masked weight.
_SCORED = 3 * _FLOAT_BYTES


class ScheduleView(BaseModel):
    """When weights go, in optimizer steps."""

    total_steps: int
    warmup_steps: int = Field(description="Steps before the first weight is removed.")
    cooldown_steps: int = Field(description="Steps trained at the final density.")
    density: list[tuple[int, float]] = Field(description="Kept share after so many steps: [[step, density], …].")


class MemoryView(BaseModel):
    """Bytes that each device of a job holds from step to step; activations, which depend on the texts, come on top."""

    model: int = Field(description="The model's weights in fp32.")
    training: int = Field(description="Everything: weights, gradients, optimizer, masks, scores, the method's own.")


class ValidationView(BaseModel):
    """A job that would be accepted."""

    spec: dict[str, object] = Field(description="As resolved: every default filled in.")
    total_steps: int = Field(description="Optimizer steps that progress will count, the dense baseline's among them.")
    schedule: ScheduleView
    memory: MemoryView
    warnings: list[str] = Field(description="Advice.")


def validation_view(resolved: Resolved) -> ValidationView:
    """Show what a spec would become."""
    spec = resolved.spec
    # Validated already: `resolve` has refused a run whose schedule is not feasible.
    schedule = spec.schedule(resolved.train_rows).from_density(resolved.start_density)
    steps = sorted({round(schedule.total_steps * i / _POINTS) for i in range(_POINTS + 1)})
    return ValidationView(
        spec=dict(resolved.document),
        total_steps=resolved.reported_steps,
        schedule=ScheduleView(
            total_steps=schedule.total_steps,
            warmup_steps=schedule.warmup_steps,
            cooldown_steps=schedule.cooldown_steps,
            density=[(step, schedule.density(step)) for step in steps],
        ),
        memory=_memory(resolved),
        warnings=resolved.warnings,
    )


def _memory(resolved: Resolved) -> MemoryView:
    spec, model = resolved.spec, resolved.model
    shapes = shapes_of(model)
    parameters = sum(map(prod, shapes.values()))
    prunable = sum(map(prod, matrices_of(model, spec.pruning.modules).values()))
    embeddings = sum(prod(shape) for name, shape in shapes.items() if "embedding" in name and len(shape) == 2)
    still = (embeddings if spec.training.freeze_embeddings else 0) * _FLOAT_BYTES
    others = parameters - prunable - (embeddings if spec.training.freeze_embeddings else 0)
    method = METHODS[spec.method]
    per_weight = (2 * _FLOAT_BYTES if spec.pruning.freeze_weights else _TRAINED) + _MASKED
    per_weight += _SCORED if method.learns_scores else 0
    per_weight += _FLOAT_BYTES * spec.new_method().numbers_per_weight()
    return MemoryView(
        model=parameters * _FLOAT_BYTES, training=still + others * _TRAINED + round(prunable * per_weight)
    )
