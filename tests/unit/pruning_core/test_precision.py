"""What is around a forward pass of training."""

import pytest
import torch
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

from pruning_core.precision import autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bf16", "tokens", "plain"), [(True, 48, True), (True, 128, True), (True, 129, False), (False, 48, False)]
)
def test_short_batches_in_bf16_attend_by_plain_products(bf16: bool, tokens: int, plain: bool) -> None:
    with autocast(CPU, bf16, tokens):
        assert torch.is_autocast_enabled("cpu") is bf16
        assert (_cur_sdpa_kernel_backends() == [SDPBackend.MATH]) is plain
    assert not torch.is_autocast_enabled("cpu")
    assert SDPBackend.FLASH_ATTENTION in _cur_sdpa_kernel_backends()


def test_both_ways_of_attention_have_the_same_gradients() -> None:
    torch.manual_seed(0)
    made = [torch.randn(2, 4, 16, 32) for _ in range(3)]
    real = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    real[1, ..., 10:] = False
    found = []
    for bf16 in (True, False):
        query, key, value = (tensor.clone().requires_grad_() for tensor in made)
        with autocast(CPU, bf16, tokens=16):
            torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=real
            ).square().sum().backward()
        assert query.grad is not None
        found.append(query.grad)
    torch.testing.assert_close(found[0], found[1], rtol=0.05, atol=0.05)
