"""The size of each layer's inputs on some training rows, for methods that prune without training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.evaluation import answers
from pruning_core.prunable import Matrix
from pruning_core.tasks.base import EncodedSplit, Task

#: Rows looked at; Wanda's own experiments use 128 sequences.
ROWS = 128


def input_norms(
    model: PreTrainedModel,
    matrices: list[Matrix],
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    split: EncodedSplit,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """‖X_j‖₂ of every input j of every matrix over real tokens (Wanda, arXiv 2306.11695, section 3).

    Returns:
        Matrix name → [in] fp32.
    """
    squares = {matrix.name: torch.zeros(_inputs(matrix), device=model.device) for matrix in matrices}
    names = {id(matrix.parameter): matrix.name for matrix in matrices}
    real: list[Tensor] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def add(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0].detach().float()
            if real and x.shape[:2] == real[0].shape:
                x = x * real[0].unsqueeze(-1)
            squares[name] += x.reshape(-1, x.shape[-1]).square().sum(dim=0)

        return add

    def note_padding(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        real[:] = [kwargs["attention_mask"]] if kwargs.get("attention_mask") is not None else []

    hooks = [model.register_forward_pre_hook(note_padding, with_kwargs=True)]
    hooks += [
        module.register_forward_pre_hook(watch(names[id(module.weight)]))
        for module in model.modules()
        if id(getattr(module, "weight", None)) in names
    ]
    rows = np.random.default_rng(seed).permutation(len(split))[:ROWS]
    try:
        for _ in answers(model, tokenizer, task, split, np.sort(rows)):
            pass
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total.sqrt() for name, total in squares.items()}


def _inputs(matrix: Matrix) -> int:
    return matrix.parameter.shape[0 if matrix.transposed else 1]
