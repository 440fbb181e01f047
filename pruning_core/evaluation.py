"""Judging a model on a split, at its own speed: rows sorted by length, no gradients."""

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.tasks.text_classification import EncodedSplit, Quality

_TOKENS_PER_BATCH = 16_384


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    split: EncodedSplit,
    *,
    bf16: bool = False,
    max_rows: int | None = None,
) -> dict[str, float]:
    """Quality of the model as it is, so with the mask of the moment, never with a mask of the future.

    Args:
        model: on its device; left in the mode it was in.
        tokenizer: pads the batches.
        split: rows to judge on.
        bf16: autocast; the figures of a report are computed in fp32.
        max_rows: judge on this many evenly spaced rows at most.

    Returns:
        Metric name → value, and `loss`, the mean cross-entropy.
    """
    rows = np.arange(len(split))
    if max_rows is not None and len(rows) > max_rows:
        rows = np.unique(np.linspace(0, len(rows) - 1, max_rows).round().astype(np.int64))
    rows = rows[np.argsort(split.lengths[rows], kind="stable")]
    collate = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
    quality = Quality(int(model.config.num_labels or 0), model.device)
    loss = 0.0
    was_training = model.training
    model.train(mode=False)
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        start = 0
        while start < len(rows):
            # Rows are in ascending length: the last row of a batch bounds its padded size.
            size = max(1, _TOKENS_PER_BATCH // int(split.lengths[rows[min(start + 255, len(rows) - 1)]] + 8))
            chosen = rows[start : start + min(size, 256)]
            padded = collate([dict(split[int(row)]) for row in chosen])
            batch = {name: tensor.to(model.device) for name, tensor in padded.items()}
            output = model(**batch)
            quality.update(output.logits, batch["labels"])
            loss += float(output.loss) * len(chosen)
            start += len(chosen)
    model.train(was_training)
    return {**quality.compute(), "loss": loss / len(rows)}
