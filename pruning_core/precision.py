"""Which number format a run computes in, by what the hardware has."""

from typing import Literal

import torch


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


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
