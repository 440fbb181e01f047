"""Attention masks that a model takes as they are, so that no host waits for its device to look at them."""

from torch import Tensor
from transformers import PreTrainedModel

from pruning_core.architectures import ARCHITECTURES
from pruning_core.tasks.base import Batch


def with_finished_mask(model: PreTrainedModel, batch: Batch) -> Batch:
    """The batch as the model's `forward` takes it soonest.

    Given which tokens are real, transformers asks the device whether all are, to choose among attention kernels, and
    the host stands still until everything before is computed, once a step. A mask of four dimensions it passes on.

    Args:
        model: on its device.
        batch: on the same; `attention_mask` is [b, tokens].
    """
    architecture = ARCHITECTURES.get(model.config.model_type)
    waits = model.device.type != "cpu" and model.config._attn_implementation == "sdpa"
    if not (waits and architecture and architecture.takes_finished_mask):
        return batch
    return batch | {"attention_mask": finished_mask(batch)}


def finished_mask(batch: Batch) -> Tensor:
    """[b, 1, 1, tokens] bool: what each token of each row may attend to."""
    return batch["attention_mask"].bool()[:, None, None, :]
