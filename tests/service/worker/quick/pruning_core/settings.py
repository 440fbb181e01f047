"""See the package."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Training:
    batch_size: int
    gradient_accumulation: int
    auto_batch: bool
    dense_baseline: bool = False
    gpus: int = 1

    def model_copy(self, update: dict[str, object]) -> "Training":
        return replace(self, **update)  # type: ignore[arg-type]  # as pydantic's, which checks nothing here either
