"""Checks that a spec fits the model and the number of rows: positions, matrices, steps."""

from math import prod

from api.jobs.findings import Findings
from api.jobs.spec import JobSpec
from api.models.shapes import shapes_of
from pruning_core.architectures import max_tokens, prunable_matrices
from pruning_core.schedule import ScheduleError
from pruning_core.spec import TextClassification
from store import Model

#: Families whose own tokenizers give the second text of a pair another token type.
_TYPED = frozenset({"bert", "electra", "albert"})


def fitting_length(spec: JobSpec, model: Model, findings: Findings) -> int:
    """Tokens per example; lowered to what the model has positions for, unless the spec names more."""
    wanted = spec.training.max_length
    most = max_tokens(model.config)
    if most is None or wanted <= most:
        return wanted
    if "max_length" in spec.training.model_fields_set:
        findings.wrong(
            ("training", "max_length"),
            f"training.max_length is {wanted}, and the model has positions for {most} tokens. Use {most} or less.",
        )
    else:
        findings.advise(f"The model has positions for {most} tokens, so training.max_length is {most}, not {wanted}.")
    return most


def check_matrices(spec: JobSpec, model: Model, findings: Findings) -> None:
    """Note a pattern that selects nothing, and a target that would leave matrices empty."""
    pattern = spec.pruning.modules
    shapes = shapes_of(model)
    matrices = prunable_matrices(model.model_type, shapes, pattern)
    if not matrices:
        names = list(prunable_matrices(model.model_type, shapes))
        findings.wrong(
            ("pruning", "modules"),
            f"pruning.modules {pattern!r} selects none of the model's {len(names)} prunable matrices. They are called, "
            f"for example, {names[0]!r} and {names[-1]!r}.",
        )
        return
    weights = sum(prod(shape) for shape in matrices.values())
    kept = round(spec.final_density * weights)
    if kept == weights and findings.sound("target_sparsity"):
        findings.wrong(
            ("target_sparsity",),
            f"target_sparsity {spec.target_sparsity} removes none of {weights:,} weights. Raise it to at least "
            f"{1 / weights:.6g}.",
        )
    elif kept < len(matrices) and findings.sound("target_sparsity"):
        findings.wrong(
            ("target_sparsity",),
            f"target_sparsity {spec.target_sparsity} keeps {kept} of {weights:,} weights, fewer than there are "
            f"matrices ({len(matrices)}). Lower it to at most {1 - len(matrices) / weights:.6g}.",
        )


def check_pairs(task: TextClassification, model: Model, findings: Findings) -> None:
    """Note pairs of texts for a model whose embeddings cannot tell the second from the first."""
    if task.text_pair is not None and model.model_type in _TYPED and model.config.get("type_vocab_size", 2) == 1:
        findings.wrong(
            ("task", "text_pair"),
            f"The model has one token type (type_vocab_size 1), and pairs need two: {model.model_type!r} marks the "
            "second text with it. Leave out task.text_pair, or use another model.",
        )


def check_steps(spec: JobSpec, train_rows: int, findings: Findings) -> None:
    """Note a run too short to prune in, or with too few rows for one batch."""
    if train_rows < spec.training.batch_size and findings.sound("training"):
        findings.wrong(
            ("training", "batch_size"),
            f"There are {train_rows} rows to train on, fewer than one batch of {spec.training.batch_size}. Lower "
            "training.batch_size, or upload more rows.",
        )
        return
    if not findings.sound("training", "pruning"):
        return
    try:
        spec.schedule(train_rows)
    except ScheduleError as error:
        findings.wrong(("pruning", "schedule"), str(error))
