"""Finding the matrices to prune in any transformer: the linear maps of its repeated blocks."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pruning_core.architectures import ARCHITECTURES, Architecture, matching


class NothingToPrune(ValueError):
    """No linear layer of the model matches what was asked for."""


@dataclass(frozen=True)
class HeadLayout:
    """How the attention heads lie in a matrix: consecutive slices along one side of the linear map, head 0 first.

    Attributes:
        axis: the side of the linear map, whatever the storage: "out" for Q, K and V, "in" for the output projection.
        count: number of heads.
        size: rows (or columns) of one head.
        fused: how many projections lie behind one another along that side; GPT-2's `c_attn` holds Q, K and V: 3.
            Head h is then `size` wide at h·size, count·size + h·size and 2·count·size + h·size.
    """

    axis: Literal["in", "out"]
    count: int
    size: int
    fused: int = 1


@dataclass(frozen=True)
class Matrix:
    """One prunable matrix.

    Attributes:
        name: module name relative to the base model, such as `encoder.layer.0.attention.self.query`.
        parameter: the module's weight, [out, in], or [in, out] where it is transposed.
        transposed: the module is GPT-2's `Conv1D`, which stores [in, out].
        layer: number of the repeated block that it belongs to; None where there is none.
        heads: where the attention heads are; None for the feed-forward's matrices and in unknown families.
        neurons: the side of the linear map along which the feed-forward's neurons lie, "out" of the first map and "in"
            of the second; None for all other matrices, and where it is gated.
    """

    name: str
    parameter: nn.Parameter
    transposed: bool = False
    layer: int | None = None
    heads: HeadLayout | None = None
    neurons: Literal["in", "out"] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in) of the linear map, however it is stored."""
        first, second = self.parameter.shape
        return (second, first) if self.transposed else (first, second)


def base_model(model: PreTrainedModel) -> nn.Module:
    """The task model without its head; the model itself where there is none to take off."""
    base = getattr(model, model.base_model_prefix, model)
    assert isinstance(base, nn.Module)
    return base


def prunable_matrices(model: PreTrainedModel, pattern: str | None = None) -> list[Matrix]:
    """The linear maps of the blocks: Q, K, V, attention output and the feed-forward's matrices.

    In a family of `ARCHITECTURES` the blocks are where its entry says; in any other they are the members of an
    `nn.ModuleList`. What lies outside (embeddings, pooler, task head) is not pruned, nor are biases and LayerNorms
    (paper, section 5), nor the decoder of an encoder-decoder. A matrix shared by several layers, as in ALBERT, counts
    once.

    Args:
        model: a task model or a base model.
        pattern: optional regular expression, searched in the module names.

    Raises:
        NothingToPrune: no matrix is left.
    """
    base = base_model(model)
    architecture = ARCHITECTURES.get(model.config.model_type)
    found: dict[str, Matrix] = {}
    blocks: dict[str, int] = {}
    seen: set[int] = set()
    for name, module in base.named_modules():
        place = architecture.place(name) if architecture else _place(base, name)
        if place is None or not isinstance(module, nn.Linear | Conv1D):
            continue
        block, below = place
        layer = blocks.setdefault(block, len(blocks))
        weight = module.get_parameter("weight")
        if id(weight) not in seen:
            seen.add(id(weight))
            matrix = Matrix(name, weight, isinstance(module, Conv1D), layer)
            heads = _heads(matrix.shape, below, architecture, model) if architecture else None
            found[name] = replace(matrix, heads=heads, neurons=_neurons(below, architecture))
    names = matching(found, pattern)
    if not names:
        raise NothingToPrune(
            f"No linear layer of the encoder matches pruning.modules {pattern!r}. "
            f"Names look like {next(iter(found), 'encoder.layer.0.output.dense')!r}."
        )
    return [found[name] for name in names]


def _place(base: nn.Module, name: str) -> tuple[str, str] | None:
    """Cut a module's name after the number of the outermost `nn.ModuleList`; None outside, and in a decoder."""
    parts = name.split(".")
    if parts[0] == "decoder" and hasattr(base, "encoder"):
        return None
    module = base
    for depth, part in enumerate(parts[:-2]):
        module = module.get_submodule(part)
        if isinstance(module, nn.ModuleList):
            return ".".join(parts[: depth + 2]), ".".join(parts[depth + 2 :])
    return None


def _heads(shape: tuple[int, int], below: str, architecture: Architecture, model: PreTrainedModel) -> HeadLayout | None:
    """The heads in a map of a known family. Sizes come from its shape: T5's heads together may not span d_model."""
    count = model.config.num_attention_heads
    out, inputs = shape
    if below in architecture.queries:
        return HeadLayout("out", count, out // (count * architecture.fused), architecture.fused)
    if below in architecture.positions:
        return HeadLayout("out", count, out // count)
    if below == architecture.output:
        return HeadLayout("in", count, inputs // count)
    return None


def _neurons(below: str, architecture: Architecture | None) -> Literal["in", "out"] | None:
    """The side along which a map has the neurons of a known family's feed-forward."""
    first, second = architecture.feed_forward if architecture and architecture.feed_forward else (None, None)
    return "out" if below == first else "in" if below == second else None


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
