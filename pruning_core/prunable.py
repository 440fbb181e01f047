"""Finding the matrices to prune in any encoder: the linear layers of its repeated blocks."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from pruning_core.architectures import matching


class NothingToPrune(ValueError):
    """No linear layer of the model matches what was asked for."""


@dataclass(frozen=True)
class Matrix:
    """One prunable matrix.

    Attributes:
        name: module name relative to the base model, such as `encoder.layer.0.attention.self.query`.
        parameter: the module's weight, [out, in].
    """

    name: str
    parameter: nn.Parameter


def base_model(model: PreTrainedModel) -> nn.Module:
    """The task model without its head."""
    base = getattr(model, model.base_model_prefix, model)
    assert isinstance(base, nn.Module)
    return base


def prunable_matrices(model: PreTrainedModel, pattern: str | None = None) -> list[Matrix]:
    """The linear layers of the encoder's blocks: Q, K, V, attention output and both feed-forward matrices.

    Repeated blocks live in an `nn.ModuleList`. What lies outside (embeddings, pooler, task head) is not pruned, nor are
    biases and LayerNorms (paper, section 5). A matrix shared by several layers, as in ALBERT, counts once.

    Args:
        model: a task model of a supported architecture.
        pattern: optional regular expression, searched in the module names.

    Raises:
        NothingToPrune: no matrix is left.
    """
    base = base_model(model)
    lists = [name for name, module in base.named_modules() if isinstance(module, nn.ModuleList)]
    found: dict[str, nn.Parameter] = {}
    for name, module in base.named_modules():
        if not isinstance(module, nn.Linear) or not any(name.startswith(f"{prefix}.") for prefix in lists):
            continue
        weight = module.get_parameter("weight")
        if not any(weight is seen for seen in found.values()):
            found[name] = weight
    names = matching(found, pattern)
    if not names:
        raise NothingToPrune(
            f"No linear layer of the encoder matches pruning.modules {pattern!r}. "
            f"Names look like {next(iter(found), 'encoder.layer.0.output.dense')!r}."
        )
    return [Matrix(name, found[name]) for name in names]


def encoder_of(model: PreTrainedModel, matrices: list[Matrix]) -> nn.Module:
    """The smallest module that holds every prunable matrix, such as BERT's `encoder.layer`."""
    paths = [matrix.name.split(".")[:-1] for matrix in matrices]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    base = base_model(model)
    # A single matrix, or one layer's, would make the "encoder" too small: climb to above the numbered block.
    while any(part.isdigit() for part in common):
        common.pop()
    return base.get_submodule(".".join(common))
