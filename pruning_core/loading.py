"""Loading a pretrained model with the task's head, or saying why that cannot be done."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from pruning_core.architectures import max_tokens, too_long, width
from pruning_core.labels import disagreement, in_another_order, matched, names_in
from pruning_core.memory import is_out_of_memory
from pruning_core.packed.files import why_refused
from pruning_core.padding import NoPadding, ensure_padding
from pruning_core.parameters import mark_as_new
from pruning_core.spec import PruningSpec
from pruning_core.tasks.base import Label, Task
from pruning_core.training import freeze_embeddings

#: What a task may add to a pretrained encoder: poolers, and heads where these lie beside the encoder's own tensors.
_NEW = re.compile(r"pooler|classifier|qa_outputs|classification_head|\bscore\b")


class ModelError(ValueError):
    """The model directory cannot be used: its weights do not belong to its config."""


def width_of(directory: Path) -> int:
    """Size of a model's hidden states."""
    config: dict[str, object] = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return width(config)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Say of files that transformers stumbles over that it does: to try again, as after a crash, would not help.

    Raises:
        ModelError: it does.
    """
    try:
        yield
    except (ModelError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"transformers cannot read the {what} ({type(error).__name__}: {str(error)[:300]}). Load it with "
            "from_pretrained, write it anew with save_pretrained, and name what that leaves."
        ) from error


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the right.

    Raises:
        ModelError: it has no token to pad with, or transformers stumbles over it.
    """
    with _readable("model's tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
    with _readable("model"):
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    try:
        ensure_padding(tokenizer, config)
    except NoPadding as error:
        raise ModelError(str(error)) from error
    if isinstance(tokenizer.chat_template, dict):
        # Each is saved as a file of its name, and what cannot be a file of ours, or differs from another in case alone,
        # no encoder's job needs.
        fit = {
            name.lower(): (name, text)
            for name, text in tokenizer.chat_template.items()
            if why_refused(f"additional_chat_templates/{name}.jinja") is None
        }
        tokenizer.chat_template = dict(fit.values()) or None
    return tokenizer


def load_model(
    directory: Path,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    spec: PruningSpec,
    device: torch.device,
    *,
    head_required: bool = False,
    role: str = "model",
) -> PreTrainedModel:
    """The pretrained model in fp32 with a head for the task; dense and pruned runs start from the same numbers.

    Args:
        directory: config and safetensors.
        tokenizer: what pads its batches.
        task: its head's shape and labels; a head for something else, or for other labels, is replaced by a new one.
        spec: seed, dropout, and whether embeddings train.
        device: where to.
        head_required: refuse a model whose head would be new, or answers with other labels.
        role: what messages call the model.

    Raises:
        ModelError: transformers stumbles over it; or tensors of the encoder, or a head that is required, are missing or
            of another shape; or that head has other labels, or has them in another order; or a value is not a finite
            number.
    """
    set_seed(spec.training.seed)
    with _readable(role):
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True, **task.head())
    ensure_padding(tokenizer, config)
    dropout = {
        name: value
        for name, value in config.to_dict().items()
        if "drop" in name and isinstance(value, float | int) and not isinstance(value, bool)
    }
    if spec.training.dropout is not None:
        for name in dropout:
            setattr(config, name, spec.training.dropout)
    with _readable(role):
        loaded, info = task.model_class.from_pretrained(  # type: ignore[attr-defined]  # auto classes have no common base
            directory,
            config=config,
            dtype=torch.float32,
            # On a CPU the backward pass of fused attention takes longer than all that it saves.
            attn_implementation="eager" if device.type == "cpu" else None,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    model: PreTrainedModel = loaded.to(device)
    if device.type == "cpu":
        # Parameters are the file, mapped into memory: all of it would stay there beside what training makes of it, and
        # a file that is cut short would end the process.
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    for name, value in dropout.items():  # layers have copied what they use; the exported config keeps the model's own
        setattr(model.config, name, value)
    absent = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    inside = model.base_model_prefix + "." if hasattr(model, model.base_model_prefix) else ""
    lost = sorted(name for name in absent if name.startswith(inside) and not _NEW.search(name))
    if lost:  # transformers fills them with random numbers and goes on
        raise ModelError(f"{len(lost)} tensors of the encoder are missing or of another shape: {', '.join(lost[:3])} …")
    if absent and head_required:
        raise ModelError(
            f"The {role} has no head for this task ({', '.join(sorted(absent)[:3])} …), and without training a new one "
            "would guess. Use a model that was fine-tuned for the task and these labels, or train."
        )
    broken = [name for name, parameter in model.named_parameters() if not bool(torch.isfinite(parameter).all())]
    if broken:
        raise ModelError(
            f"The {role} holds values that are not finite numbers (NaN or infinity), in {', '.join(broken[:3])}"
            f"{' …' if len(broken) > 3 else ''}. Save it anew from a training run that did not diverge."
        )
    names = _names_of(directory)
    reason = disagreement(names, task.labels)
    if reason and not head_required:
        absent |= _renew_head(model)
    mark_as_new(model, absent)
    if reason and head_required:
        raise ModelError(
            f"The {role} {reason}. "
            + (
                f"Give the run's `labels` in the {role}'s order."
                if in_another_order(names, task.labels)
                else "Where they mean the same, name them alike (id2label in its config.json)."
            )
        )
    if spec.training.freeze_embeddings:
        freeze_embeddings(model)
    return model


def _renew_head(model: PreTrainedModel) -> set[str]:
    """Fill a head that has learnt other labels with random numbers; returns the names of its parameters."""
    base = getattr(model, model.base_model_prefix)
    inside = {id(parameter) for parameter in base.parameters()}
    head = {name: parameter for name, parameter in model.named_parameters() if id(parameter) not in inside}
    for parameter in head.values():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]  # what was loaded, transformers leaves alone
    for module in model.children():
        if module is not base:
            module.apply(model._init_weights)
    return set(head)


def load_teacher(
    directory: Path,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    spec: PruningSpec,
    device: torch.device,
    *,
    student: Path,
) -> PreTrainedModel:
    """A model that was fine-tuned for the task already, and reads the student's token ids.

    Raises:
        ModelError: it has no head for the task's labels, has them in another order, or has others; another vocabulary
            or, for hidden states, another shape; or positions for fewer tokens than the student is to read.
    """
    with _readable("teacher"):
        theirs, ours = (
            AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            for folder in (directory, student)
        )
    alike = ["vocab_size"]
    if spec.distillation is not None and spec.distillation.hidden > 0:
        alike += ["hidden_size", "num_hidden_layers"]
    for name in alike:
        if getattr(theirs, name) != getattr(ours, name):
            raise ModelError(f"The teacher's {name} is {getattr(theirs, name)}, and the model's {getattr(ours, name)}.")
    most, wanted = max_tokens(theirs.to_dict()), spec.training.max_length
    if most is not None and wanted > most:
        raise ModelError(too_long(wanted, most, role="teacher"))
    teacher = load_model(directory, tokenizer, task, spec, device, head_required=True, role="teacher")
    teacher.train(mode=False)
    return teacher


def in_the_models_order(directory: Path, labels: Sequence[Label]) -> list[Label]:
    """The labels in the order of the model's own head, where that knows the same ones; else as they are."""
    return matched(_names_of(directory), labels) or list(labels)


def _names_of(directory: Path) -> list[str]:
    return names_in(json.loads((directory / "config.json").read_text(encoding="utf-8")))
