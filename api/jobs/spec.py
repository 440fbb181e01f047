"""What a job is asked to do: the pruning spec, and around it the model, the dataset and how to run it."""

from typing import Annotated, cast

from pydantic import ConfigDict, Field, StringConstraints, field_validator
from pydantic.config import JsonDict

from pruning_core.columns import Part
from pruning_core.spec import PruningSpec

MAX_TAGS = 32

#: What answers add to a spec. It follows from the rest, and may be sent back as it is: a spec that was answered is one
#: to submit.
FOUND_OUT = {
    "labels": "The classes in the order of their ids, as found in the dataset.",
    "holdout": "The share of training rows that is held out, or null.",
    "total_steps": "Optimizer steps of one run.",
}

TagName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f\x7f-\x9f]+$")]
TagValue = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class Splits(Part):
    """Which splits of the dataset to use."""

    train: str | None = Field(default=None, description="Left out: `train`, or the only split there is.")
    eval: str | None = Field(
        default=None,
        description="Left out: `validation` or what else is called like it. Null, or none there: a seeded, stratified "
        "10 % of the training split is held out.",
    )


class Limits(Part):
    """When the service gives up."""

    max_runtime_s: int = Field(default=86_400, ge=60, le=30 * 86_400, description="Longest run of one attempt.")
    max_attempts: int = Field(
        default=3, ge=1, le=20, description="How often the job may be lost (its worker killed, its host gone)."
    )


def _with_found_out(schema: JsonDict) -> None:
    remark = "In answers; sent back, it must be what follows from the rest."
    described: JsonDict = {name: {"description": f"{words} {remark}"} for name, words in FOUND_OUT.items()}
    cast(JsonDict, schema["properties"]).update(described)


class JobSpec(PruningSpec):
    """A job. Only `model`, `dataset`, `method` and `target_sparsity` must be given."""

    model_config = ConfigDict(json_schema_extra=_with_found_out)

    model: str = Field(
        max_length=500,
        description="`upload://mdl_…` from POST /v1/models, `hf://namespace/name@revision`, or `file://path`.",
    )
    dataset: str = Field(
        max_length=500,
        description="`upload://ds_…` from POST /v1/datasets, `hf://namespace/name@revision?config=name`, or `file://path`.",
    )
    name: str | None = Field(default=None, min_length=1, max_length=200, description="What you call it.")
    tags: dict[TagName, TagValue] = Field(
        default={}, max_length=MAX_TAGS, description="Your own marks; lists of jobs can be filtered by them."
    )
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher runs first.")
    splits: Splits = Field(default=Splits(), description="Which splits to train and evaluate on.")
    limits: Limits = Field(default=Limits(), description="When the service gives up.")
    webhook: str | None = Field(
        default=None,
        max_length=2000,
        description="The URL of one of your team's webhooks, which shall hear of this job even if it hears of no other "
        "that does not name it.",
    )

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str | None) -> str | None:
        if name is not None and (not name.isprintable() or not name.strip()):
            raise ValueError("must be printable text.")
        return name
