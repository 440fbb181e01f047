"""How each family names the matrices of its encoder's layers, and which shapes they have.

transformers takes only what it finds under these names: whatever is called otherwise it leaves out, and what it then
misses, or finds in another shape, it fills with random numbers. A job would prune noise without a word.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from api.models.configuration import Configuration

Shape = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """The matrices of one layer, by their names below it.

    Attributes:
        layer: where a layer is; `{}` stands for its number.
        square: matrices of [hidden, hidden].
        widen: the matrix of [intermediate, hidden].
        narrow: the matrix of [hidden, intermediate].
    """

    layer: str
    square: tuple[str, ...]
    widen: str = "intermediate.dense"
    narrow: str = "output.dense"


_BERT = Layout(
    "encoder.layer.{}",
    ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
)

#: By `model_type` of config.json.
LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Layout(
        "transformer.layer.{}",
        ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        "ffn.lin1",
        "ffn.lin2",
    ),
    "albert": Layout(
        "encoder.albert_layer_groups.{}.albert_layers.0",
        ("attention.query", "attention.key", "attention.value", "attention.dense"),
        "ffn",
        "ffn_output",
    ),
    "deberta-v2": Layout(
        "encoder.layer.{}",
        (
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            "attention.output.dense",
        ),
    ),
    "mpnet": Layout(
        "encoder.layer.{}",
        ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
    ),
}


def layer_matrices(configuration: Configuration) -> Iterator[tuple[str, Shape]]:
    """Each matrix that the layers of such a model have: its tensor's name without the family's prefix, its shape."""
    layout = LAYOUTS[configuration.model_type]
    hidden, intermediate = configuration.hidden_size, configuration.intermediate_size
    for number in range(configuration.layers):
        layer = layout.layer.format(number)
        for name in layout.square:
            yield f"{layer}.{name}.weight", (hidden, hidden)
        yield f"{layer}.{layout.widen}.weight", (intermediate, hidden)
        yield f"{layer}.{layout.narrow}.weight", (hidden, intermediate)
