"""Taking out what is dead: heads and neurons whose zeros make them say nothing, or always the same."""

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from pruning_core.architectures import ARCHITECTURES
from pruning_core.structured.blocks import Block, Kept, blocks_of


@torch.no_grad()
def remove_dead(model: PreTrainedModel) -> tuple[PreTrainedModel, dict[str, Kept]]:
    """A copy of a model without its dead heads and neurons, which answers the same.

    A head is dead where its columns of the output projection are zero: nothing that it finds goes on. It is constant
    where its rows of V are: attention's weights add up to one, so that it always says the bias of V. A neuron is dead
    where its column of the second map is zero, and constant, act(bias), where its row of the first is. What is constant
    goes too, and what it always adds is added to the bias of the map that reads it.

    Each block keeps a head and a neuron at least, for transformers' own code finds shapes by dividing by them.

    Args:
        model: pruned, with zeros where weights were removed; not changed.

    Returns:
        The smaller model, in the mode and on the device of the model, and what is left of each of its blocks.

    Raises:
        NotReducible: the model's family cannot be made smaller.
    """
    blocks_of(model)  # refuse before copying
    smaller = copy.deepcopy(model)
    activation: nn.Module = ACT2FN[getattr(model.config, ARCHITECTURES[model.config.model_type].activation)]
    kept = {}
    for name, block in blocks_of(smaller).items():
        heads, neurons = _living_heads(block), _living_neurons(block, activation)
        block.keep(heads.tolist(), neurons)
        kept[name] = Kept(tuple(heads.tolist()), len(neurons))
    return smaller, kept


def _living_heads(block: Block) -> Tensor:
    """[kept] numbers of the heads that stay; what others always say goes to the output's bias."""
    width = block.heads * block.head_size
    columns = block.output.weight.reshape(-1, block.heads, block.head_size)
    silent = (columns == 0).all(dim=2).all(dim=0)
    values = block.value.weight[-width:]  # where one map holds Q, K and V, V is the last
    constant = (values == 0).reshape(block.heads, -1).all(dim=1)
    if block.output.bias is None:
        constant &= silent
    living = _at_least_one(~(silent | constant))
    said = torch.zeros(width, device=values.device) if block.value.bias is None else block.value.bias[-width:]
    gone = (~living).repeat_interleave(block.head_size)
    _add_to_bias(block.output.module, block.output.weight[:, gone], said[gone])
    return living.nonzero().flatten()


def _living_neurons(block: Block, activation: nn.Module) -> Tensor:
    """[kept] numbers of the neurons that stay; what others always say goes to the second map's bias."""
    silent = (block.second.weight == 0).all(dim=0)
    constant = (block.first.weight == 0).all(dim=1)
    if block.second.bias is None:
        constant &= silent
    living = _at_least_one(~(silent | constant))
    bias = block.first.bias
    said = activation(torch.zeros(block.neurons, device=living.device) if bias is None else bias)
    _add_to_bias(block.second.module, block.second.weight[:, ~living], said[~living])
    return living.nonzero().flatten()


def _at_least_one(living: Tensor) -> Tensor:
    if not living.any():
        living = living.clone()
        living[0] = True
    return living


def _add_to_bias(module: nn.Module, weight: Tensor, said: Tensor) -> None:
    """Let a map always add what it has read from inputs that are going.

    Args:
        module: the map.
        weight: [out, gone] its columns for them.
        said: [gone] what they always are; of no account where a column is zero.
    """
    if isinstance(bias := module.bias, nn.Parameter):
        bias.copy_((bias.double() + weight.double() @ said.double()).to(bias.dtype))
