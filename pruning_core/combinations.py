"""Which choices of a spec do not go together, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pruning_core.granularity import Block, kind_of
from pruning_core.methods import METHODS

if TYPE_CHECKING:
    from pruning_core.spec import PruningSpec


def conflict(spec: PruningSpec) -> str | None:
    """The first conflict of a spec, as a sentence that begins with the field to change; None where there is none."""
    return next(_conflicts(spec), None)


def _conflicts(spec: PruningSpec) -> Iterator[str]:
    method = METHODS[spec.method]
    pruning, training = spec.pruning, spec.training
    kind = kind_of(spec.granularity)
    if training.score_learning_rate is not None and not method.learns_scores:
        yield f"training.score_learning_rate does not apply: method {spec.method!r} learns no scores. Leave it out."
    yield from _without_baseline(spec)
    yield from _on_several_devices(spec)
    if spec.scope not in method.scopes:
        yield (
            f"pruning.scope {spec.scope!r} does not go with method {spec.method!r}{_reason(spec.scope)}. "
            f"Use {_either(method.scopes)}."
        )
    if kind not in method.granularities:
        yield (
            f"pruning.granularity {str(spec.granularity)!r} does not go with method {spec.method!r}. "
            f"Use {_either(method.granularities)}."
        )
    if pruning.schedule.shape not in (None, *method.shapes):
        yield (
            f"pruning.schedule.shape {pruning.schedule.shape!r} does not go with method {spec.method!r}. "
            f"Use {_either(method.shapes)}."
        )
    # Compared with the defaults, not asked whether they were named: a resolved spec names everything.
    # 0.1 was the default of the warm-up when none was written out as null.
    usual = [pruning.schedule.model_copy(update={"warmup": warmup, "cooldown": None}) for warmup in (None, 0.1)]
    if not method.follows_schedule and pruning.schedule not in usual:
        yield (
            f"pruning.schedule does not apply: method {spec.method!r} has a schedule of its own. Leave it out, or set "
            "pruning.params."
        )
    if kind == "2:4" and abs(spec.final_density - 0.5) > 1e-9:
        yield "pruning.granularity '2:4' keeps two of every four weights: set target_sparsity to 0.5."
    if kind != "element" and spec.scope == "budget":
        yield "pruning.scope 'budget' is for single weights: leave out pruning.granularity, or use scope 'global'."
    if kind == "layer" and spec.scope != "global":
        yield f"pruning.scope {spec.scope!r} has no meaning for whole layers: use 'global'."
    yield from _from_a_mask(spec)
    yield from _reconstructed(spec)
    if pruning.freeze_weights and not method.learns_scores:
        yield (
            f"pruning.freeze_weights needs a method that learns scores, and {spec.method!r} does not. Use "
            f"{_either([name for name, other in METHODS.items() if other.learns_scores])}."
        )
    yield from _on_export(spec, kind)
    if not spec.trains:
        yield from _untrained(spec)


def _without_baseline(spec: PruningSpec) -> Iterator[str]:
    """Conflicts of a job that fine-tunes no dense model."""
    training = spec.training
    if training.dense_baseline:
        return
    if training.dense_learning_rate is not None:
        yield "training.dense_learning_rate does not apply: training.dense_baseline is false. Leave one of them out."
    if training.start_from == "dense":
        yield (
            "training.start_from 'dense' prunes the dense model, which training.dense_baseline false leaves out. Leave "
            "one of them out."
        )
    if spec.distillation is not None and spec.distillation.teacher == "self":
        yield (
            "training.dense_baseline false leaves out the dense model, which distillation.teacher 'self' learns from. "
            "Leave it out, or name another teacher."
        )


def _on_export(spec: PruningSpec, kind: str) -> Iterator[str]:
    """Conflicts of what is to be made of the pruned model."""
    of_one = isinstance(spec.granularity, Block) and spec.granularity.block == (1, 1)
    if spec.export.structured and (kind in ("element", "2:4") or of_one):
        yield (
            f"export.structured takes out whole heads and neurons, and pruning.granularity {str(spec.granularity)!r} "
            "leaves none dead. Use granularity 'structured', 'hybrid' or 'head', or leave it out."
        )
    if spec.export.int8 and not spec.export.onnx:
        yield "export.int8 quantises model.onnx: set export.onnx to true, too, or leave it out."


def _on_several_devices(spec: PruningSpec) -> Iterator[str]:
    """Conflicts of a job on more than one device."""
    devices, size = spec.training.gpus, spec.training.batch_size
    if devices == 1:
        return
    if devices > size:
        yield (
            f"training.gpus is {devices}, and training.batch_size {size}, which the devices share: each needs one "
            "example at least. Lower gpus, or raise batch_size."
        )
    if not spec.trains:
        yield f"training.gpus {devices} does not apply: the job trains nothing. Leave it out."


def _from_a_mask(spec: PruningSpec) -> Iterator[str]:
    """Conflicts of a job that leaves a model's zeros as they are."""
    if not spec.pruning.start_from_mask:
        return
    if reason := METHODS[spec.method].forgets_zeros:
        able = [name for name, other in METHODS.items() if other.forgets_zeros is None]
        yield (
            f"pruning.start_from_mask does not go with method {spec.method!r}: {reason}. Use {_either(able)}, or leave "
            "it out."
        )
    if spec.training.start_from == "dense":
        yield (
            "pruning.start_from_mask does not go with training.start_from 'dense': fine-tuning the dense model fills "
            "its zeros. Leave one of them out."
        )
    if kind_of(spec.granularity) == "2:4":
        yield (
            "pruning.start_from_mask does not go with pruning.granularity '2:4': it keeps two of every four "
            "weights, and some fours have fewer left. Leave one of them out."
        )


def _reconstructed(spec: PruningSpec) -> Iterator[str]:
    """Conflicts of a job that fits what is left to the dense model."""
    pruning, training = spec.pruning, spec.training
    if not pruning.reconstruct:
        return
    if spec.granularity == "layer":
        yield (
            "pruning.reconstruct does not go with whole layers (pruning.granularity 'layer'), of which those that stay "
            "are as they were. Leave it out."
        )
    if pruning.freeze_weights:
        yield (
            "pruning.reconstruct chooses weights anew, which pruning.freeze_weights leaves as they are. Leave one of "
            "them out."
        )
    if not spec.trains:
        return
    if not training.dense_baseline:
        yield (
            "pruning.reconstruct fits what is left to the dense model, which training.dense_baseline false leaves out. "
            "Leave one of them out."
        )
    if training.start_from == "model" or pruning.start_from_mask:
        other = "training.start_from 'model'" if training.start_from == "model" else "pruning.start_from_mask"
        yield (
            f"pruning.reconstruct fits what is left of the dense baseline to it, and {other} prunes the given model. "
            "Leave one of them out."
        )


def _untrained(spec: PruningSpec) -> Iterator[str]:
    """Conflicts of a job without a training step."""
    method = METHODS[spec.method]
    zero = "training.epochs 0" if spec.training.max_steps is None else "training.max_steps 0"
    if spec.training.max_steps is None and spec.training.epochs is None:
        zero += f" (the default of method {spec.method!r})"
    if not method.works_untrained:
        able = [name for name, other in METHODS.items() if other.works_untrained]
        yield f"{zero} trains nothing, and method {spec.method!r} learns by training. Use {_either(able)}, or train."
    elif spec.shape != "one_shot":
        yield (
            f"pruning.schedule.shape must be 'one_shot' with {zero}: without steps there is nothing gradual. "
            "Leave it out."
        )
    if spec.training.start_from == "dense":
        yield f"{zero} trains nothing, so there is no dense model: leave out training.start_from 'dense', or train."
    if spec.distillation is not None:
        yield f"{zero} trains nothing, so there is nothing to distil: leave out distillation, or train."


def _reason(scope: str) -> str:
    return " (it learns no scores to make budgets of)" if scope == "budget" else ""


def _either(names: tuple[str, ...] | list[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
