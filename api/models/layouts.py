"""How each family names what must be in a checkpoint, and which shapes the matrices have as they are stored.

transformers takes only what it finds under these names: whatever is called otherwise it leaves out, and what it then
misses, or finds in another shape, it fills with random numbers. A job would prune noise without a word.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from api.models.configuration import Configuration
from pruning_core.architectures import ARCHITECTURES

Shape = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """A family's names beside those of the attention, which `ARCHITECTURES` has.

    Attributes:
        widen: the feed-forward's first matrix in a block, [intermediate, hidden].
        narrow: its last, [hidden, intermediate].
        doubled: `widen` holds the feed-forward's gate too: [2 · intermediate, hidden].
        words: the word embeddings.
        tied: another name for them, which transformers takes as well.
        positions: the position embeddings; None where there is no such table.
        types: the token type embeddings, where a checkpoint has any.
    """

    widen: str = "intermediate.dense"
    narrow: str = "output.dense"
    doubled: bool = False
    words: str = "embeddings.word_embeddings.weight"
    tied: str | None = None
    positions: str | None = "embeddings.position_embeddings.weight"
    types: str = "embeddings.token_type_embeddings.weight"


_BERT = Layout()

#: By `model_type` of config.json: the families that the service takes.
LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "distilbert": Layout("ffn.lin1", "ffn.lin2"),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "albert": Layout("ffn", "ffn_output"),
    "deberta-v2": _BERT,
    "mpnet": _BERT,
    "modernbert": Layout("mlp.Wi", "mlp.Wo", doubled=True, words="embeddings.tok_embeddings.weight", positions=None),
    "gpt2": Layout("mlp.c_fc", "mlp.c_proj", words="wte.weight", positions="wpe.weight"),
    "t5": Layout(
        "layer.1.DenseReluDense.wi",
        "layer.1.DenseReluDense.wo",
        words="shared.weight",
        tied="encoder.embed_tokens.weight",
        positions=None,
    ),
}


@dataclass(frozen=True)
class _Block:
    """The names of one block's linear maps, below it."""

    queries: Sequence[str]
    outputs: Sequence[str]
    widen: str
    narrow: str


_T5_DECODER = _Block(
    queries=[f"layer.{layer}.{name}" for layer in ("0.SelfAttention", "1.EncDecAttention") for name in "qkv"],
    outputs=["layer.0.SelfAttention.o", "layer.1.EncDecAttention.o"],
    widen="layer.2.DenseReluDense.wi",
    narrow="layer.2.DenseReluDense.wo",
)


def layer_matrices(configuration: Configuration, *, decoder: bool = False) -> Iterator[tuple[str, Shape]]:
    """Each matrix that the layers of such a model have: its tensor's name without the family's prefix, its shape.

    Args:
        configuration: of the model.
        decoder: those of T5's decoder too.
    """
    architecture, layout = ARCHITECTURES[configuration.model_type], LAYOUTS[configuration.model_type]
    names = _Block(architecture.queries, (architecture.output,), layout.widen, layout.narrow)
    for number in range(configuration.layers):
        # the second number is that of ALBERT's layer in its group, which has one only: fields.py takes no other
        block = architecture.block.replace("{}", str(number), 1).replace("{}", "0")
        yield from _maps(configuration, block, names)
    if configuration.model_type == "t5":
        yield _position_biases(configuration, "encoder")
        if decoder:
            for number in range(configuration.decoder_layers):
                yield from _maps(configuration, f"decoder.block.{number}", _T5_DECODER)
            yield _position_biases(configuration, "decoder")


def _maps(configuration: Configuration, block: str, names: _Block) -> Iterator[tuple[str, Shape]]:
    """The linear maps of one block."""
    architecture, layout = ARCHITECTURES[configuration.model_type], LAYOUTS[configuration.model_type]
    hidden, intermediate = configuration.hidden_size, configuration.intermediate_size
    shapes: dict[str, Shape] = {}
    for name in names.queries:
        shapes[name] = (architecture.fused * configuration.attention_size, hidden)
    for name in names.outputs:
        shapes[name] = (hidden, configuration.attention_size)
    for name in (f"{names.widen}_0", f"{names.widen}_1") if configuration.gated else (names.widen,):
        shapes[name] = (intermediate * (2 if layout.doubled else 1), hidden)
    shapes[names.narrow] = (hidden, intermediate)
    for name, (out, inputs) in shapes.items():
        yield f"{block}.{name}.weight", (inputs, out) if architecture.transposed else (out, inputs)


def _position_biases(configuration: Configuration, stack: str) -> tuple[str, Shape]:
    """T5's table of what a distance adds to the attention of each head: in the first block, for all of them."""
    name = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return name, (configuration.position_buckets, configuration.heads)
