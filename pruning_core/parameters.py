"""Which parameters of a model are trained, and which are new: random numbers made for the task as it was loaded."""

from collections.abc import Iterable, Iterator

from torch import nn
from transformers import PreTrainedModel

_ATTRIBUTE = "secateur_new_parameters"


def mark_as_new(model: PreTrainedModel, names: Iterable[str]) -> None:
    """Remember the parameters that the checkpoint does not have."""
    setattr(model, _ATTRIBUTE, frozenset(names))


def new_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """The parameters that were marked, in the model's order."""
    names: frozenset[str] = getattr(model, _ATTRIBUTE, frozenset())
    return [parameter for name, parameter in model.named_parameters() if name in names]


def parameters_by_name(model: PreTrainedModel) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that training changes."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
