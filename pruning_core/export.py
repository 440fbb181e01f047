"""What a run leaves: a dense zero-filled model directory that stock transformers loads, and the masks."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.masking import MaskedWeights

#: Largest difference between the logits of the masked and of the exported model, fp32.
LOGITS_TOLERANCE = 1e-6


class ExportMismatch(RuntimeError):
    """The exported model is not the one that was trained: never ship it."""


def export_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, masked: MaskedWeights, directory: Path
) -> PreTrainedModel:
    """Write config, tokenizer and `model.safetensors`, load them back with stock transformers, and compare.

    Args:
        model: the pruned model, settled (masked weights are zeros).
        tokenizer: saved beside it.
        masked: says what must be zero.
        directory: created; holds a Hugging Face model directory afterwards.

    Returns:
        The reloaded model, on `model`'s device, in eval mode.

    Raises:
        ExportMismatch: a masked weight is not zero after reloading, or logits differ by more than `LOGITS_TOLERANCE`.
    """
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    reloaded: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        directory, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, local_files_only=True
    ).to(model.device)
    reloaded.train(mode=False)
    exported = dict(reloaded.named_parameters())
    for name, parameter in model.named_parameters():
        if not torch.equal(parameter, exported[name]):
            raise ExportMismatch(f"Tensor {name!r} changed on its way through {directory.name}/.")
    for matrix, (start, stop) in zip(masked.matrices, masked.bounds, strict=True):
        if bool((matrix.parameter.detach().flatten() * ~masked.mask[start:stop]).any()):
            raise ExportMismatch(f"Matrix {matrix.name!r} holds values outside its mask.")
    difference = _logits_difference(model, reloaded)
    if not difference <= LOGITS_TOLERANCE:
        raise ExportMismatch(f"Logits of the exported model differ by {difference:.2e} from the masked model's.")
    return reloaded


def _logits_difference(model: PreTrainedModel, other: PreTrainedModel) -> float:
    """Largest absolute difference of the logits on random token ids."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (4, 16), generator=generator).to(model.device)
    was_training = model.training
    model.train(mode=False)
    with torch.inference_mode():
        difference = (model(input_ids=ids).logits - other(input_ids=ids).logits).abs().max()
    model.train(was_training)
    return float(difference)


def export_masks(masked: MaskedWeights, path: Path) -> None:
    """Write the masks bit-packed: one uint8 tensor per matrix, eight weights a byte, little-endian bits, row-major.

    Metadata `shapes` is a JSON object, matrix name → [out, in]; `numpy.unpackbits(…, bitorder="little", count=…)`
    restores a mask.
    """
    packed = {}
    shapes = {}
    for matrix, (start, stop) in zip(masked.matrices, masked.bounds, strict=True):
        bits = np.packbits(masked.mask[start:stop].cpu().numpy(), bitorder="little")
        packed[matrix.name] = torch.from_numpy(bits)
        shapes[matrix.name] = list(matrix.parameter.shape)
    # One key only: safetensors writes several in random order, and equal masks must be equal files.
    save_file(packed, path, {"shapes": json.dumps(shapes)})
