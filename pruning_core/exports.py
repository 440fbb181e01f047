"""What a spec may ask for besides the pruned model's directory: a smaller model, ONNX, int8; each judged and timed."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pruning_core.architectures import max_tokens
from pruning_core.evaluation import Tick, evaluate, nobody_waits
from pruning_core.export import ExportMismatch, logits_difference
from pruning_core.loading import ModelError
from pruning_core.onnx import exporting
from pruning_core.onnx.running import OnnxModel
from pruning_core.settings import Export
from pruning_core.speeds import SEQUENCE, THREADS, Candidate, measure
from pruning_core.structured.artifact import load_structured, save_structured
from pruning_core.structured.blocks import NotReducible, blocks_of, require_reducible
from pruning_core.structured.removal import remove_dead
from pruning_core.tasks.base import EncodedSplit, Task

#: Largest difference between the logits of the pruned and of the smaller model, beyond 1 as a share of the largest.
SMALLER_TOLERANCE = 1e-5

STRUCTURED, ONNX, INT8 = "structured", "model.onnx", "model.int8.onnx"


def clear(output: Path) -> None:
    """Remove what an earlier run into the same directory was asked for, and this one may not be."""
    shutil.rmtree(output / STRUCTURED, ignore_errors=True)
    for name in (ONNX, INT8):
        (output / name).unlink(missing_ok=True)


@dataclass
class Exports:
    """What was made.

    Attributes:
        made: by `structured`, `onnx` and `int8`: at least its quality as `eval`.
        latency: `threads`, `sequence`, and `timings` as `speeds.Speed` has them; None where nothing was timed.
        bytes: sizes on disk, by the same names.
    """

    made: dict[str, dict[str, object]] = field(default_factory=dict)
    latency: dict[str, object] | None = None
    bytes: dict[str, int] = field(default_factory=dict)


def check_exports(export: Export, model_dir: Path) -> None:
    """Refuse before anything is trained.

    Raises:
        ModelError: the model cannot be made smaller, or what writes ONNX is not installed.
    """
    try:
        if export.structured:
            require_reducible(str(json.loads((model_dir / "config.json").read_text(encoding="utf-8"))["model_type"]))
        if export.onnx:
            exporting.require()
    except (NotReducible, exporting.OnnxMissing) as error:
        raise ModelError(str(error)) from error


def make_exports(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    evaluation: EncodedSplit,
    *,
    export: Export,
    output: Path,
    tick: Tick = nobody_waits,
) -> Exports:
    """Make, check, judge and time what is asked for; nothing where nothing is.

    Args:
        model: the pruned model as it is shipped, in eval mode.
        tokenizer: the model's.
        task: judges.
        evaluation: items to judge on.
        export: what to make.
        output: receives `structured/`, `model.onnx` and `model.int8.onnx`.
        tick: called before each batch that is judged.

    Raises:
        ExportMismatch: the smaller model, or the graph, does not answer as the pruned model does.
    """
    exports = Exports()
    if not (export.structured or export.onnx):
        return exports
    device = model.device
    dense = model.to("cpu")  # type: ignore[arg-type]  # transformers' wrapper hides nn.Module's signature
    runners: dict[Candidate, Callable[[Mapping[str, Tensor]], object]] = {("pytorch", "dense"): _calls(dense)}
    shipped = dense
    if export.structured:
        shipped = _make_smaller(dense, tokenizer, output / STRUCTURED, exports)
        shipped.to(device)  # type: ignore[arg-type]  # as above
        exports.made["structured"]["eval"] = evaluate(shipped, tokenizer, task, evaluation, tick=tick)
        shipped.to("cpu")  # type: ignore[arg-type]  # as above
        runners["pytorch", "structured"] = _calls(shipped)
    with tempfile.TemporaryDirectory() as scratch:
        if exporting.is_installed():
            graphs = {"dense": Path(scratch) / "dense.onnx"}
            if export.structured:
                graphs["structured"] = Path(scratch) / "structured.onnx"
            if export.onnx:  # what is shipped is the smaller one, where there is one
                graphs["structured" if export.structured else "dense"] = output / ONNX
            for name, file in graphs.items():
                exporting.export_onnx(shipped if name == "structured" else dense, tokenizer, file)
                runners["onnxruntime", name] = OnnxModel(file, threads=THREADS).answer
        if export.onnx:
            exports.made["onnx"] = {"eval": evaluate(OnnxModel(output / ONNX), tokenizer, task, evaluation, tick=tick)}
        if export.int8:
            exporting.quantize(output / ONNX, output / INT8)
            exports.made["int8"] = {"eval": evaluate(OnnxModel(output / INT8), tokenizer, task, evaluation, tick=tick)}
            runners["onnxruntime", "int8"] = OnnxModel(output / INT8, threads=THREADS).answer
        for each in (dense, shipped):
            if each._supports_sdpa:  # what `from_pretrained` takes, where training takes another
                each.set_attn_implementation("sdpa")
        timings = measure(runners, lambda batch: exporting.example_inputs(dense, tokenizer, batch, _length(dense)))
    exports.latency = {
        "threads": THREADS,
        "sequence": _length(dense),
        "timings": [asdict(timing) for timing in timings],
    }
    exports.bytes = _sizes(output, exports)
    return exports


def _make_smaller(
    dense: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path, exports: Exports
) -> PreTrainedModel:
    """Write the smaller model, load it again, compare it, and note what is left."""
    smaller, kept = remove_dead(dense)
    save_structured(smaller, kept, directory, tokenizer=tokenizer)
    loaded = load_structured(directory, attn_implementation=dense.config._attn_implementation)
    difference = logits_difference(dense, loaded, scaled=True)
    if not difference <= SMALLER_TOLERANCE:
        raise ExportMismatch(f"Logits of the smaller model differ by {difference:.2e} from the pruned model's.")
    blocks = blocks_of(dense).values()
    exports.made["structured"] = {
        "heads": sum(len(left.heads) for left in kept.values()),
        "heads_dense": sum(block.heads for block in blocks),
        "neurons": sum(left.neurons for left in kept.values()),
        "neurons_dense": sum(block.neurons for block in blocks),
        "parameters": sum(p.numel() for p in loaded.parameters()),
        "parameters_dense": sum(p.numel() for p in dense.parameters()),
    }
    return loaded


def _calls(model: PreTrainedModel) -> Callable[[Mapping[str, Tensor]], object]:
    return lambda inputs: model(**inputs)


def _length(model: PreTrainedModel) -> int:
    """Tokens to time: `SEQUENCE`, or as many as the model has positions for."""
    return min(SEQUENCE, max_tokens(model.config.to_dict()) or SEQUENCE)


def _sizes(output: Path, exports: Exports) -> dict[str, int]:
    """Bytes of what was made; of a graph those of the weights beside it, too."""
    found = {}
    for name, place in (("structured", f"{STRUCTURED}/*"), ("onnx", f"{ONNX}*"), ("int8", f"{INT8}*")):
        if name in exports.made:
            found[name] = sum(path.stat().st_size for path in output.glob(place))
    return found
