"""A model in ONNX Runtime, judged and timed like one of PyTorch's."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput


class OnnxModel:
    """An ONNX graph on the CPU that answers like a transformers model.

    Attributes:
        device: always the CPU.
        training: never.
    """

    device = torch.device("cpu")
    training = False

    def __init__(self, file: Path, *, threads: int | None = None) -> None:
        """Load it.

        Args:
            file: an ONNX graph.
            threads: how many work on one operation; default: as many as PyTorch's.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Else its threads go on looking for work when it has answered, and take the processor from what is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def train(self, mode: bool = True) -> None:
        """It cannot; that it is asked not to is how every model is judged."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> ModelOutput:
        """The answers to a batch of texts, each [batch, sequence]."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return ModelOutput(self.answer({name: tensor for name, tensor in given.items() if tensor is not None}))

    __call__ = forward

    def answer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name, for inputs by name; those that the graph does not read are left out."""
        fed = {name: tensor.numpy() for name, tensor in inputs.items() if name in self._inputs}
        found = self._session.run(None, fed)
        return {name: torch.from_numpy(array) for name, array in zip(self._outputs, found, strict=True)}
