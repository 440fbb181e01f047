"""Which model families are supported: each has a test that prunes, exports and reloads a tiny one.

Torch-free, so that the HTTP service can refuse an unsupported model at upload.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import re2

#: Every task on texts, by the `type` of a spec's task.
TEXT_TASKS = frozenset({"text-classification", "regression", "question-answering", "token-classification"})


@dataclass(frozen=True)
class Architecture:
    """What must be known of a family without loading it. Names of modules are relative to the base model.

    Attributes:
        base_prefix: attribute of the task model that holds the base model; checkpoints may or may not carry it.
        queries: linear maps of a block whose outputs are divided among the attention heads: Q, K and V.
        output: the linear map of a block whose inputs are divided so: the attention's output projection.
        block: where the repeated blocks are; `{}` stands for a number.
        fused: projections that lie behind one another in one of `queries`: 3 where a single map gives Q, K and V.
        positions: more maps divided like `queries`, of relative positions, that not every checkpoint has.
        transposed: the maps are GPT-2's `Conv1D`, stored as [in, out].
        position_limit: field of config.json with the number of positions; None where there is no limit.
        reserved_positions: positions of those that no token can use (RoBERTa starts after padding).
        own_padding: tokenizers of the family have a padding token; GPT-2's have none, and take the end of text.
        tasks: what transformers has a head for.
        decoder_tasks: those of them that need the decoder, which T5's encoder-only checkpoints lack.
        renamed: (stored, loaded) parts of names that transformers changes on loading, to be replaced in this order.
        feed_forward: the two maps of a block around its activation, of which neuron i is the first's output i and the
            second's input i; None where it is gated, or where it is not known how to take heads out: such a model
            cannot be made physically smaller.
        activation: field of config.json that names what lies between the two.
        takes_finished_mask: all that its attention needs of a mask is which tokens are real, and transformers passes a
            mask of four dimensions on as it is.
    """

    base_prefix: str
    queries: tuple[str, ...]
    output: str
    block: str = "encoder.layer.{}"
    fused: int = 1
    positions: tuple[str, ...] = ()
    transposed: bool = False
    position_limit: str | None = "max_position_embeddings"
    reserved_positions: int = 0
    own_padding: bool = True
    tasks: frozenset[str] = TEXT_TASKS
    decoder_tasks: frozenset[str] = frozenset()
    renamed: tuple[tuple[str, str], ...] = ()
    feed_forward: tuple[str, str] | None = None
    activation: str = "hidden_act"
    takes_finished_mask: bool = False

    def place(self, module: str) -> tuple[str, str] | None:
        """Cut a module's name in two, the block and what follows; None outside the blocks.

        `encoder.layer.3.output.dense` is `output.dense` of block `encoder.layer.3`.
        """
        numbered = re.escape(self.block).replace(r"\{\}", r"\d+")
        found = re.match(rf"({numbered})\.(.+)", module)
        return (found[1], found[2]) if found else None


_BERT = Architecture(
    "bert",
    queries=("attention.self.query", "attention.self.key", "attention.self.value"),
    output="attention.output.dense",
    feed_forward=("intermediate.dense", "output.dense"),
    takes_finished_mask=True,
)
_ROBERTA = replace(_BERT, base_prefix="roberta", reserved_positions=2)

#: By `model_type` of config.json.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": _BERT,
    "distilbert": Architecture(
        "distilbert",
        queries=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        output="attention.out_lin",
        block="transformer.layer.{}",
        feed_forward=("ffn.lin1", "ffn.lin2"),
        activation="activation",
        takes_finished_mask=True,
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": replace(_BERT, base_prefix="electra"),
    "albert": Architecture(
        "albert",
        queries=("attention.query", "attention.key", "attention.value"),
        output="attention.dense",
        block="encoder.albert_layer_groups.{}.albert_layers.{}",
        feed_forward=("ffn", "ffn_output"),
        takes_finished_mask=True,
    ),
    "deberta-v2": Architecture(
        "deberta",
        queries=("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
        output="attention.output.dense",
        positions=("attention.self.pos_key_proj", "attention.self.pos_query_proj"),
        feed_forward=("intermediate.dense", "output.dense"),
    ),
    "mpnet": Architecture(
        "mpnet",
        queries=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        output="attention.attn.o",
        reserved_positions=2,
        feed_forward=("intermediate.dense", "output.dense"),
    ),
    "modernbert": Architecture("model", queries=("attn.Wqkv",), output="attn.Wo", block="layers.{}", fused=3),
    "gpt2": Architecture(
        "transformer",
        queries=("attn.c_attn",),
        output="attn.c_proj",
        block="h.{}",
        fused=3,
        transposed=True,
        position_limit="n_positions",
        own_padding=False,
        feed_forward=("mlp.c_fc", "mlp.c_proj"),
        activation="activation_function",
    ),
    # Only the encoder's stack is pruned, the decoder stays dense: see docs/models.md.
    "t5": Architecture(
        "transformer",
        queries=("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
        output="layer.0.SelfAttention.o",
        block="encoder.block.{}",
        position_limit=None,
        decoder_tasks=TEXT_TASKS - {"token-classification"},
    ),
    "vit": Architecture(
        "vit",
        queries=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        output="attention.o_proj",
        block="layers.{}",
        position_limit=None,
        tasks=frozenset(),
        renamed=(
            ("encoder.layer.", "layers."),
            ("attention.attention.query", "attention.q_proj"),
            ("attention.attention.key", "attention.k_proj"),
            ("attention.attention.value", "attention.v_proj"),
            ("attention.output.dense", "attention.o_proj"),
            ("intermediate.dense", "mlp.fc1"),
            ("output.dense", "mlp.fc2"),
        ),
        feed_forward=("mlp.fc1", "mlp.fc2"),
    ),
}

#: Families that the HTTP service takes: those with a task.
SERVED = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.tasks)

#: The only matrix in a block that is none of a linear map: T5's table of position biases.
_POSITION_BIASES = "relative_attention_bias"


def width(config: Mapping[str, object]) -> int:
    """Size of the hidden states, by whichever name the family gives it; BERT-base's where a config does not say."""
    for name in ("hidden_size", "d_model", "n_embd", "dim"):
        size = config.get(name)
        if isinstance(size, int) and not isinstance(size, bool) and size > 0:
            return size
    return 768


def max_tokens(config: Mapping[str, object]) -> int | None:
    """Longest input the model has positions for, or None where positions are relative without a table."""
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    field = architecture.position_limit if architecture else "max_position_embeddings"
    positions = config.get(field) if field else None
    if not isinstance(positions, int) or isinstance(positions, bool) or positions < 1:
        return None
    return positions - (architecture.reserved_positions if architecture else 0)


def too_long(wanted: int, most: int, role: str = "model") -> str:
    """What to tell of a `training.max_length` beyond the model's positions, as `max_tokens` counts them."""
    return f"training.max_length is {wanted}, and the {role} has positions for {most} tokens. Use {most} or less."


def not_reducible(model_type: str) -> str | None:
    """Why a family's blocks cannot be made physically smaller; None where they can."""
    architecture = ARCHITECTURES.get(model_type)
    if architecture is not None and architecture.feed_forward is not None:
        return None
    able = ", ".join(name for name, each in ARCHITECTURES.items() if each.feed_forward)
    return f"A model of type {model_type!r} cannot be made physically smaller. Those of these can: {able}."


def tasks_of(model_type: str, names: Iterable[str]) -> frozenset[str]:
    """The tasks that a checkpoint can learn without starting from random weights in its body.

    A T5 without its decoder can tag tokens, but its heads for whole texts and for spans read the decoder.

    Args:
        model_type: as in config.json.
        names: the checkpoint's tensors.
    """
    architecture = ARCHITECTURES[model_type]
    decoder = (architecture.base_prefix + ".decoder.", "decoder.")
    if architecture.decoder_tasks and not any(name.startswith(decoder) for name in names):
        return architecture.tasks - architecture.decoder_tasks
    return architecture.tasks


def prunable_matrices(
    model_type: str, shapes: Mapping[str, tuple[int, ...]], pattern: str | None = None
) -> dict[str, tuple[int, ...]]:
    """The prunable matrices of a checkpoint, from its tensor names and shapes alone.

    Args:
        model_type: as in config.json.
        shapes: tensor name → shape as stored.
        pattern: optional regular expression, searched in each module name (`encoder.layer.0.output.dense`).

    Returns:
        Module name relative to the base model, as loaded → shape of the linear map, (out, in), however it is stored.
    """
    architecture = ARCHITECTURES[model_type]
    found = {}
    for name, shape in shapes.items():
        module = name.removeprefix(architecture.base_prefix + ".").removesuffix(".weight")
        for stored, loaded in architecture.renamed:
            module = module.replace(stored, loaded)
        is_matrix = name.endswith(".weight") and len(shape) == 2 and not module.endswith(_POSITION_BIASES)
        if is_matrix and architecture.place(module):
            found[module] = shape[::-1] if architecture.transposed else shape
    return {name: found[name] for name in matching(found, pattern)}


def missing_outputs(model_type: str, names: Iterable[str]) -> list[str]:
    """The attention's output projections that a choice of matrices leaves out in blocks that it reaches into.

    Args:
        model_type: as in config.json, one of `ARCHITECTURES`.
        names: the chosen modules, relative to the base model.
    """
    architecture = ARCHITECTURES[model_type]
    chosen: dict[str, set[str]] = {}
    for block, below in filter(None, map(architecture.place, names)):
        chosen.setdefault(block, set()).add(below)
    return [f"{block}.{architecture.output}" for block, parts in chosen.items() if architecture.output not in parts]


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
