"""Which model families are supported: each has a test that prunes, exports and reloads a tiny one.

Torch-free, so that the HTTP service can refuse an unsupported model at upload.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import re2


@dataclass(frozen=True)
class Architecture:
    """What must be known of a family without loading it.

    Attributes:
        base_prefix: attribute of the task model that holds the encoder; checkpoints may or may not carry it.
        reserved_positions: entries of `max_position_embeddings` that no token can use (RoBERTa starts after padding).
    """

    base_prefix: str
    reserved_positions: int = 0


#: By `model_type` of config.json.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("bert"),
    "distilbert": Architecture("distilbert"),
    "roberta": Architecture("roberta", reserved_positions=2),
    "xlm-roberta": Architecture("roberta", reserved_positions=2),
    "camembert": Architecture("roberta", reserved_positions=2),
    "electra": Architecture("electra"),
    "albert": Architecture("albert"),
    "deberta-v2": Architecture("deberta"),
    "mpnet": Architecture("mpnet", reserved_positions=2),
}

#: A tensor below a numbered layer, named as in the checkpoint: `encoder.layer.0.attention.self.query.weight`.
_IN_A_LAYER = re2.compile(r"\.\d+\..*\.weight$")


def max_tokens(config: Mapping[str, object]) -> int | None:
    """Longest input the model has positions for, or None where positions are relative without a table."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or isinstance(positions, bool) or positions < 1:
        return None
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    return positions - (architecture.reserved_positions if architecture else 0)


def prunable_matrices(
    model_type: str, shapes: Mapping[str, tuple[int, ...]], pattern: str | None = None
) -> dict[str, tuple[int, ...]]:
    """The prunable matrices of a checkpoint, from its tensor names and shapes alone.

    Args:
        model_type: as in config.json.
        shapes: tensor name → shape.
        pattern: optional regular expression, searched in each module name (`encoder.layer.0.output.dense`).

    Returns:
        Module name relative to the encoder → shape (out, in).
    """
    architecture = ARCHITECTURES[model_type]
    found = {}
    for name, shape in shapes.items():
        relative = name.removeprefix(architecture.base_prefix + ".")
        if len(shape) == 2 and _IN_A_LAYER.search(relative) and not relative.endswith("embeddings.weight"):
            found[relative.removesuffix(".weight")] = shape
    return {name: found[name] for name in matching(found, pattern)}


def compile_pattern(pattern: str) -> re2._Regexp:
    """Compile a stranger's regular expression.

    RE2 matches in linear time, whatever the pattern: Python's `re` lets `(.+)+Q` run for ever.

    Raises:
        ValueError: it is not one, or uses what RE2 leaves out (look-around, back-references).
    """
    options = re2.Options()
    options.log_errors = False  # else the library prints to stderr
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error


def matching(names: Iterable[str], pattern: str | None) -> list[str]:
    """The module names that `pruning.modules` selects; all of them without a pattern."""
    expression = compile_pattern(pattern) if pattern else None
    return [name for name in names if expression is None or expression.search(name)]
