"""Which number format a run computes in, by what the hardware has."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

#: Up to so many tokens, attention as plain products trains faster in bf16 on a CPU than the fused kernel, whose
#: backward takes three times as long there; beyond, it would need too much memory.
_FEW_TOKENS = 128


def uses_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Whether forward and backward run under bf16 autocast; weights, scores and optimizer stay fp32.

    `auto` says yes where bf16 matrix products are computed in hardware. `bf16` is taken at its word.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


@contextmanager
def autocast(device: torch.device, bf16: bool, tokens: int) -> Iterator[None]:
    """Everything that a forward pass of training needs around it.

    Args:
        device: of the model.
        bf16: autocast to it.
        tokens: length that the batch is padded to.
    """
    plain = bf16 and device.type == "cpu" and tokens <= _FEW_TOKENS
    attention = sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16), attention:
        yield


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
