"""What a run leaves: a dense zero-filled model directory that stock transformers loads, and the masks."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.masking import MaskedWeights
from pruning_core.probing import random_inputs

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
    reloaded: PreTrainedModel = type(model).from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation=model.config._attn_implementation,  # another one rounds differently
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
    )
    reloaded.to(model.device)  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
    reloaded.train(mode=False)
    exported = dict(reloaded.named_parameters())
    for name, parameter in model.named_parameters():
        if not torch.equal(parameter, exported[name]):
            raise ExportMismatch(f"Tensor {name!r} changed on its way through {directory.name}/.")
    for matrix, where in zip(masked.matrices, masked.slices, strict=True):
        if bool((matrix.parameter.detach().flatten() * ~masked.mask[where]).any()):
            raise ExportMismatch(f"Matrix {matrix.name!r} holds values outside its mask.")
    difference = logits_difference(model, reloaded)
    if not difference <= LOGITS_TOLERANCE:
        raise ExportMismatch(f"Logits of the exported model differ by {difference:.2e} from the masked model's.")
    return reloaded


def logits_difference(model: PreTrainedModel, other: PreTrainedModel, *, scaled: bool = False) -> float:
    """Largest absolute difference of the outputs on random inputs.

    Args:
        model: on the same device as the other.
        other: what is compared with it.
        scaled: where outputs are beyond 1, count it as a share of the largest, as they are rounded.
    """
    inputs = {name: tensor.to(model.device) for name, tensor in random_inputs(model.config, rows=4, tokens=16).items()}
    was_training = model.training
    model.train(mode=False)
    with torch.inference_mode():
        ours, theirs = model(**inputs), other(**inputs)
    model.train(was_training)
    names = [name for name in ours if "logits" in name or name == "last_hidden_state"]
    differences = [
        (ours[name] - theirs[name]).abs().max() / (ours[name].abs().max().clamp(min=1.0) if scaled else 1.0)
        for name in names
    ]
    return float(torch.stack(differences).max())


def export_masks(masked: MaskedWeights, path: Path) -> None:
    """Write the masks bit-packed: one uint8 tensor per matrix, eight weights a byte, little-endian bits, row-major.

    Metadata `shapes` is a JSON object, matrix name → shape as stored, [out, in] but for GPT-2's [in, out];
    `numpy.unpackbits(…, bitorder="little", count=…)` restores a mask.
    """
    packed = {}
    shapes = {}
    for matrix, where in zip(masked.matrices, masked.slices, strict=True):
        bits = np.packbits(masked.mask[where].cpu().numpy(), bitorder="little")
        packed[matrix.name] = torch.from_numpy(bits)
        shapes[matrix.name] = list(matrix.parameter.shape)
    # One key only: safetensors writes several in random order, and equal masks must be equal files.
    save_file(packed, path, {"shapes": json.dumps(shapes)})
