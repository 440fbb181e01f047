"""A model as an ONNX graph of dynamic batch and sequence, compared with PyTorch; and the same with int8 weights."""

import contextlib
import copy
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pruning_core.export import ExportMismatch
from pruning_core.onnx.running import OnnxModel
from pruning_core.probing import random_inputs

if TYPE_CHECKING:
    import onnx_ir

#: Largest difference between PyTorch's logits and ONNX Runtime's, where these are beyond 1 as a share of the largest.
TOLERANCE = 1e-4
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
#: A file of protobuf holds less than 2 GiB; of a larger model the weights lie beside the graph.
_LARGEST_FILE = 1_900_000_000


class OnnxMissing(RuntimeError):
    """The packages that write and run ONNX are not installed."""


def is_installed() -> bool:
    """Whether ONNX can be written and run here."""
    return all(find_spec(name) is not None for name in PACKAGES)


def require() -> None:
    """Refuse early.

    Raises:
        OnnxMissing: with what to install.
    """
    if not is_installed():
        raise OnnxMissing("export.onnx needs onnx, onnxscript and onnxruntime: pip install 'secateur[onnx]'.")


def export_onnx(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, file: Path) -> None:
    """Write a model with transformers' exporter (`torch.onnx.export` by way of `torch.export`), and compare.

    Inputs are those of the tokenizer that the model reads, int64 [batch, sequence], or pixels, fp32 [batch, channels,
    height, width]; outputs are its logits, fp32.

    Args:
        model: on any device, with narrower layers or without; not changed.
        tokenizer: says which inputs there are.
        file: what is written, such as `model.onnx`.

    Raises:
        OnnxMissing: the packages are not installed.
        ExportMismatch: ONNX Runtime's answers differ from PyTorch's by more than `TOLERANCE`.
    """
    require()
    import onnx_ir
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    ours = copy.deepcopy(model).to("cpu")  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
    ours.train(mode=False)
    ours.config.use_cache = False
    example = example_inputs(ours, tokenizer, rows=2, tokens=8)
    with _quietly():
        program = OnnxExporter().export(ours, dict(example), config=OnnxConfig(dynamic=True)).program
    _leave_the_logits(program)
    _name_axes(program, example)
    parameters = sum(p.numel() * p.element_size() for p in ours.parameters())
    beside = file.name + ".data" if parameters > _LARGEST_FILE else None
    onnx_ir.save(program, file, external_data=beside)
    difference = _largest_difference(ours, tokenizer, file)
    if not difference <= TOLERANCE:
        raise ExportMismatch(f"Logits of {file.name} on ONNX Runtime differ by {difference:.2e} from PyTorch's.")


def quantize(file: Path, output: Path) -> None:
    """Write the graph with int8 weights; activations are quantised as it runs.

    One step for each output channel, and of seven bits: with eight, processors without VNNI overflow (ONNX Runtime's
    documentation, "Quantize ONNX models").

    Args:
        file: what `export_onnx` wrote.
        output: what is written.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quietly():
        quantize_dynamic(
            file,
            output,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            use_external_data_format=file.with_name(file.name + ".data").exists(),
        )


def example_inputs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: int, tokens: int
) -> dict[str, Tensor]:
    """Random inputs of whole rows, with all that the tokenizer gives and the model reads."""
    inputs = random_inputs(model.config, rows=rows, tokens=tokens)
    if (ids := inputs.get("input_ids")) is None:
        return inputs
    names = inspect.signature(model.forward).parameters
    whole = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    wanted = {*tokenizer.model_input_names, "attention_mask"} & set(names)
    return inputs | {name: tensor for name, tensor in whole.items() if name in wanted}


def _leave_the_logits(program: "onnx_ir.Model") -> None:
    """Take out what else the model tells, such as T5's caches, and what only that needs."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    outputs = program.graph.outputs
    outputs[:] = [value for value in outputs if "logits" in str(value.name)] or list(outputs)
    RemoveUnusedNodesPass()(program)


def _name_axes(program: "onnx_ir.Model", example: Mapping[str, Tensor]) -> None:
    """Call the free axes `batch` and `sequence`, where the exporter has numbered them; pixels have but the first."""
    import onnx_ir

    first = next((value for value in program.graph.inputs if value.name == "input_ids"), program.graph.inputs[0])
    assert first.shape is not None
    free = [str(axis) for axis in first.shape if not isinstance(axis, int)]
    called = dict(zip(free, ("batch", "sequence"), strict=False))
    for value in program.graph.inputs:
        if value.shape is not None:
            given = example[str(value.name)].shape
            value.shape = onnx_ir.Shape(["batch", "sequence"] if len(given) == 2 else ["batch", *given[1:]])
    for value in program.graph.outputs:
        if value.shape is not None:
            axes = [axis if isinstance(axis, int) else called.get(str(axis.value), axis.value) for axis in value.shape]
            value.shape = onnx_ir.Shape(axes)


def _largest_difference(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, file: Path) -> float:
    """Between PyTorch and ONNX Runtime, as `TOLERANCE` counts it.

    Batches and lengths are other than the example's, and rows are padded.
    """
    graph = OnnxModel(file)
    differences = []
    for rows, tokens in ((1, 5), (3, 16)):
        inputs = example_inputs(model, tokenizer, rows, tokens)
        if (mask := inputs.get("attention_mask")) is not None and not model.config.is_encoder_decoder:
            mask[-1, tokens // 2 :] = 0
        with torch.inference_mode():
            ours, theirs = model(**inputs), graph.answer(inputs)
        for name in theirs:
            largest = float(ours[name].abs().max())
            differences.append(float((ours[name] - theirs[name]).abs().max()) / max(1.0, largest))
    return max(differences)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters print and warn of: that they are experimental, and each step of theirs."""
    loggers: Mapping[logging.Logger, int] = {
        logger: logger.level for logger in (logging.getLogger("torch.onnx"), logging.getLogger())
    }
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        for logger, level in loggers.items():
            logger.setLevel(level)
