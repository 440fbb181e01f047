"""A finished mask says the same as one of two dimensions, in every family that is said to take it."""

import pytest
import torch

from pruning_core.architectures import ARCHITECTURES
from pruning_core.attention_mask import finished_mask, with_finished_mask
from tests.tiny import tiny_model

TAKE_IT = [name for name, architecture in ARCHITECTURES.items() if architecture.takes_finished_mask]


def padded() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 25, (3, 10), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([[10], [7], [4]])
    real = torch.arange(10) < lengths
    return {"input_ids": ids * real, "attention_mask": real.long()}


@pytest.mark.parametrize("family", TAKE_IT)
@torch.inference_mode()
def test_the_model_answers_the_same(family: str) -> None:
    model = tiny_model(family)
    model.train(mode=False)
    model.set_attn_implementation("sdpa")
    batch = padded()
    assert torch.equal(model(**batch).logits, model(**batch | {"attention_mask": finished_mask(batch)}).logits)
    whole = model(input_ids=batch["input_ids"]).logits
    assert not torch.equal(model(**batch).logits, whole), "the mask matters here"


def test_on_a_cpu_which_waits_for_nobody_masks_stay_as_they_are() -> None:
    batch = padded()
    assert with_finished_mask(tiny_model(), batch) is batch
