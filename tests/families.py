"""Every supported family, tiny, and the variants in which its matrices lie otherwise."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5ForQuestionAnswering,
    T5ForTokenClassification,
)

from pruning_core.architectures import ARCHITECTURES
from pruning_core.probing import random_inputs
from tests.tiny import tiny_config, tiny_model

Build = Callable[[], PreTrainedModel]


def family(name: str) -> Build:
    """The family's classifier."""
    return lambda: tiny_model(name)


def as_class(cls: type[PreTrainedModel], **changes: object) -> Build:
    """A T5 of that class."""
    return lambda: cls(tiny_config("t5", **changes))


def of(auto: type, name: str, **changes: object) -> Build:
    """The family's model for another task, or of another configuration."""

    def build() -> PreTrainedModel:
        model = auto.from_config(tiny_config(name, **changes))  # type: ignore[attr-defined]  # of every auto class
        assert isinstance(model, PreTrainedModel)
        return model

    return build


MODELS: dict[str, Build] = {
    **{name: family(name) for name in ARCHITECTURES},
    "albert, two groups of two": of(
        AutoModelForTokenClassification, "albert", num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2
    ),
    "deberta-v2, shared keys": of(AutoModelForQuestionAnswering, "deberta-v2", share_att_key=True),
    "gpt2, questions": of(AutoModelForQuestionAnswering, "gpt2"),
    "modernbert, tokens": of(AutoModelForTokenClassification, "modernbert"),
    "t5, encoder only": as_class(T5EncoderModel),
    "t5, gated": as_class(T5EncoderModel, feed_forward_proj="gated-gelu"),
    "t5, tokens": as_class(T5ForTokenClassification),
    "t5, questions": as_class(T5ForQuestionAnswering),
    "t5, text to text": as_class(T5ForConditionalGeneration),
}


def built(build: Build) -> PreTrainedModel:
    """A model whose every number counts: biases are random too."""
    torch.manual_seed(0)
    model = build()
    model.train(mode=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
            elif parameter.dim() == 2:
                parameter.mul_(5)  # else attention is the same everywhere, and queries make no difference
    return model


@torch.inference_mode()
def answer(model: PreTrainedModel) -> Tensor:
    """Logits, or what the model has in their place."""
    inputs = random_inputs(model.config, rows=2, tokens=9)
    if isinstance(model, T5ForConditionalGeneration):
        inputs["decoder_input_ids"] = inputs["input_ids"]
    output = model(**inputs)[0]
    assert isinstance(output, Tensor)
    return output
