"""Random inputs that any supported model takes: to compare two models, or to time one."""

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from pruning_core.architectures import max_tokens


def random_inputs(config: PreTrainedConfig, rows: int, tokens: int, seed: int = 0) -> dict[str, Tensor]:
    """What a model's `forward` takes, on the CPU; same seed, same numbers.

    Args:
        config: the model's.
        rows: batch size.
        tokens: length of each row, less where the model has positions for fewer; images have the length that they have.
        seed: of the random numbers.

    Returns:
        `pixel_values` [rows, channels, height, width] for a vision model, else `input_ids` [rows, tokens], of which
        only the last is the end of sequence where T5 looks for it.
    """
    generator = torch.Generator().manual_seed(seed)
    if hasattr(config, "image_size"):
        size = config.image_size if isinstance(config.image_size, list | tuple) else (config.image_size,) * 2
        return {"pixel_values": torch.randn(rows, config.num_channels, *size, generator=generator)}
    tokens = min(tokens, max_tokens(config.to_dict()) or tokens)
    ids = torch.randint(0, config.vocab_size, (rows, tokens), generator=generator)
    if config.is_encoder_decoder:
        ids[ids == config.eos_token_id] = config.pad_token_id
        ids[:, -1] = config.eos_token_id
    return {"input_ids": ids}
