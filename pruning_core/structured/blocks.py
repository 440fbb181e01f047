"""A model's blocks as maps that can be made narrower: fewer attention heads, fewer feed-forward neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention
from transformers.pytorch_utils import Conv1D

from pruning_core.architectures import ARCHITECTURES, Architecture, not_reducible
from pruning_core.prunable import base_model


class NotReducible(ValueError):
    """The family's blocks cannot be made narrower."""


@dataclass(frozen=True)
class Kept:
    """What is left of one block.

    Attributes:
        heads: numbers of the attention heads, in the dense model's count, ascending; never empty.
        neurons: how many feed-forward neurons; never zero.
    """

    heads: tuple[int, ...]
    neurons: int


class LinearMap:
    """An `nn.Linear` or a GPT-2 `Conv1D`, read and resized as [out, in] whatever it stores."""

    def __init__(self, module: nn.Module) -> None:
        assert isinstance(module, nn.Linear | Conv1D)
        self.module = module
        self.transposed = isinstance(module, Conv1D)

    @property
    def weight(self) -> Tensor:
        """[out, in]."""
        weight = self.module.weight.detach()
        return weight.T if self.transposed else weight

    @property
    def bias(self) -> Tensor | None:
        """[out], where the map has one."""
        bias = dict(self.module.named_parameters()).get("bias")
        return None if bias is None else bias.detach()

    def replace(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take other numbers, of another shape.

        Args:
            weight: [out, in].
            bias: [out], where the map has one.
        """
        trained = self.module.weight.requires_grad
        outputs, inputs = weight.shape
        stored = (weight.T if self.transposed else weight).contiguous().clone()
        self.module.weight = nn.Parameter(stored, requires_grad=trained)
        if bias is not None:
            self.module.bias = nn.Parameter(bias.clone(), requires_grad=trained)
        if isinstance(self.module, Conv1D):
            self.module.nf, self.module.nx = outputs, inputs
        else:
            self.module.out_features, self.module.in_features = outputs, inputs


class Block:
    """One repeated block of a model of a known family.

    Attributes:
        queries: Q, K and V, or the one map that holds them, and maps of relative positions.
        value: that of V, or the one map.
        output: the attention's output projection.
        first: the feed-forward's first map.
        second: its second.
        head_size: rows of one head in a map of `queries`.
        fused: how many projections lie behind one another in `queries[0]`.
    """

    def __init__(self, module: nn.Module, architecture: Architecture) -> None:
        assert architecture.feed_forward is not None
        self.fused = architecture.fused
        self._attention = module.get_submodule(architecture.queries[0].rpartition(".")[0])
        size = getattr(self._attention, "attention_head_size", None) or self._attention.head_dim
        assert isinstance(size, int)
        self.head_size = size
        parts = dict(module.named_modules())
        maps = [parts.get(part) for part in (*architecture.queries, *architecture.positions)]
        self.queries = [LinearMap(part) for part in maps if part is not None]
        self.value = LinearMap(parts[architecture.queries[-1]])
        self.output = LinearMap(parts[architecture.output])
        self.first, self.second = (LinearMap(parts[part]) for part in architecture.feed_forward)

    @property
    def heads(self) -> int:
        """How many attention heads there are."""
        return self.output.weight.shape[1] // self.head_size

    @property
    def neurons(self) -> int:
        """How many feed-forward neurons there are."""
        return self.first.weight.shape[0]

    def rows_of(self, heads: Sequence[int], fused: int = 1) -> Tensor:
        """Where some heads lie along the divided side of a map, in ascending order."""
        one = torch.arange(self.heads * self.head_size).view(self.heads, self.head_size)[list(heads)].flatten()
        return torch.cat([one + part * self.heads * self.head_size for part in range(fused)])

    def keep(self, heads: Sequence[int], neurons: Tensor) -> None:
        """Take out all other heads and neurons.

        Args:
            heads: numbers of those that stay, as the block counts them now.
            neurons: [kept] numbers of those that stay.
        """
        rows = self.rows_of(heads)
        for each in self.queries:
            among = self.rows_of(heads, self.fused)
            each.replace(each.weight[among], None if each.bias is None else each.bias[among])
        self.output.replace(self.output.weight[:, rows], self.output.bias)
        bias = self.first.bias
        self.first.replace(self.first.weight[neurons], None if bias is None else bias[neurons])
        self.second.replace(self.second.weight[:, neurons], self.second.bias)
        self._tell_attention(heads)

    def _tell_attention(self, heads: Sequence[int]) -> None:
        """Set what transformers' attention has computed from its configuration, where it reads it again."""
        attention, width = self._attention, len(heads) * self.head_size
        counts = {"num_attention_heads": len(heads), "num_heads": len(heads), "n_heads": len(heads)}
        for name, value in (counts | {"all_head_size": width, "split_size": width}).items():
            if hasattr(attention, name):
                setattr(attention, name, value)
        if isinstance(attention, MPNetSelfAttention):
            former = attention.kept_heads if isinstance(attention, _FewerHeadsMPNet) else list(range(max(heads) + 1))
            attention.__class__ = _FewerHeadsMPNet
            assert isinstance(attention, _FewerHeadsMPNet)
            attention.kept_heads = [former[head] for head in heads]


class _FewerHeadsMPNet(MPNetSelfAttention):
    """MPNet's attention, whose position biases are computed once for the heads of all layers."""

    kept_heads: list[int]

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        output_attentions: bool = False,
        **kwargs: object,
    ) -> tuple[Tensor, ...]:
        """As MPNet's, with the biases of the heads that are there."""
        if position_bias is not None:
            position_bias = position_bias[:, self.kept_heads]
        answer: tuple[Tensor, ...] = super().forward(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            hidden_states, attention_mask, position_bias, output_attentions, **kwargs
        )
        return answer


def require_reducible(model_type: str) -> Architecture:
    """The family's entry.

    Raises:
        NotReducible: it is not known, or its blocks are of a kind that cannot be made narrower.
    """
    if reason := not_reducible(model_type):
        raise NotReducible(reason)
    return ARCHITECTURES[model_type]


def blocks_of(model: PreTrainedModel) -> dict[str, Block]:
    """The repeated blocks, by name; those that share their weights once.

    Raises:
        NotReducible: the family is not known, or its blocks are of a kind that cannot be made narrower.
    """
    architecture = require_reducible(model.config.model_type)
    base = base_model(model)
    found: dict[str, Block] = {}
    for name, _ in base.named_modules():
        place = architecture.place(name)
        if place is None or place[1] != architecture.output:
            continue
        found[place[0]] = Block(base.get_submodule(place[0]), architecture)
    return found


def narrow(model: PreTrainedModel, kept: Mapping[str, Kept]) -> None:
    """Give a dense model, in place, the shapes of one that lacks heads and neurons; its numbers mean nothing then.

    Args:
        model: of the dense configuration.
        kept: what is left of each block, by its name.
    """
    for name, block in blocks_of(model).items():
        block.keep(kept[name].heads, torch.arange(kept[name].neurons))
