"""The fields of config.json with which transformers builds the model: the values that it would stumble over later.

Worked out against transformers 5.23 by submitting each of them; `tests/service/api/test_families.py` holds them against
the installed version.
"""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from api.bodies import compact
from store import JsonObject


def _no_integer(value: object) -> object:
    if isinstance(value, int):
        raise ValueError("should be written with a decimal point")  # transformers takes 1e-5 and refuses 1
    return value


def _true_or_false(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")  # 0 is not
    return value


def _tokens(value: object) -> object:
    numbers = value if isinstance(value, list) else [value]
    if value is not None and not all(type(number) is int for number in numbers):
        raise ValueError("should be the number of a token, or a list of such")
    return value


def _numbered(names: dict[str, object]) -> dict[str, object]:
    if not all(name.isdecimal() for name in names):
        raise ValueError("should have the labels' numbers as names")
    return names


def _feed_forward(name: str) -> str:
    if name.removeprefix("gated-") not in get_args(Activation):
        raise ValueError("should be an activation such as relu, or gated-gelu")
    return name


def _as_fed_forward(gated: bool, info: ValidationInfo) -> bool:
    if gated != str(info.data.get("feed_forward_proj")).startswith("gated-"):
        raise ValueError("should say the same as feed_forward_proj")
    return gated


Activation = Literal[
    "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "leaky_relu",
    "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh",
]  # fmt: skip
Dtype = Literal["float32", "float16", "bfloat16", "auto"] | None
Attention = Literal["eager", "sdpa"] | None
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
No = Annotated[Literal[False], BeforeValidator(_true_or_false)]
Yes = Annotated[Literal[True], BeforeValidator(_true_or_false)]
Tokens = Annotated[int | list[int] | None, BeforeValidator(_tokens)]
Fraction = Annotated[float, BeforeValidator(_no_integer), Field(gt=0.0)]


class _Fields(BaseModel):
    """Every field may be left out; then transformers has a default. Of what is not named here nothing depends."""

    model_config = ConfigDict(strict=True, extra="ignore")

    hidden_act: Activation = "gelu"
    activation: Activation = "gelu"
    activation_function: Activation = "gelu_new"
    hidden_activation: Activation = "gelu"
    classifier_activation: Activation = "gelu"
    dense_act_fn: Activation = "relu"
    hidden_dropout_prob: Probability = 0.1
    attention_probs_dropout_prob: Probability = 0.1
    dropout: Probability = 0.1
    dropout_rate: Probability = 0.1
    attention_dropout: Probability = 0.1
    embedding_dropout: Probability = 0.0
    mlp_dropout: Probability = 0.0
    attn_pdrop: Probability = 0.1
    embd_pdrop: Probability = 0.1
    resid_pdrop: Probability = 0.1
    seq_classif_dropout: Probability = 0.2
    classifier_dropout: Probability | None = None
    classifier_dropout_prob: Probability = 0.1
    pooler_dropout: Probability = 0.0
    cls_dropout: Probability | None = None
    layer_norm_eps: Fraction = 1e-12
    layer_norm_epsilon: Fraction = 1e-5
    norm_eps: Fraction = 1e-5
    initializer_range: Fraction = 0.02
    type_vocab_size: Annotated[int, Field(ge=0)] = 2
    num_labels: Annotated[int, Field(ge=0)] = 2
    id2label: Annotated[dict[str, object], AfterValidator(_numbered)] | None = None
    label2id: dict[str, object] | None = None
    architectures: list[str] | None = None
    dtype: Dtype = None
    torch_dtype: Dtype = None
    tie_word_embeddings: bool = True
    position_embedding_type: Literal["absolute"] | None = None
    chunk_size_feed_forward: Literal[0] = 0
    is_decoder: No = False
    add_cross_attention: No = False
    return_dict: Yes = True
    output_attentions: No = False
    output_hidden_states: No = False
    attn_implementation: Attention = None
    transformers_weights: None = None
    inner_group_num: Literal[1] = 1
    feed_forward_proj: Annotated[str, AfterValidator(_feed_forward)] = "relu"
    is_gated_act: Annotated[bool, AfterValidator(_as_fed_forward)] = False
    classifier_pooling: Literal["cls", "mean"] = "cls"
    layer_types: Annotated[list[Literal["full_attention", "sliding_attention"]], Field(min_length=1)] | None = None
    bos_token_id: Tokens = None
    eos_token_id: Tokens = None
    pad_token_id: int | None = None
    sep_token_id: int | None = None
    cls_token_id: int | None = None
    is_encoder_decoder: bool = False
    initializer_factor: float = 1.0
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    conv_kernel_size: int = 0
    embedding_size: int = 128
    local_attention: int = 128
    norm_bias: bool = False
    mlp_bias: bool = False
    attention_bias: bool = False
    rope_parameters: dict[str, object] | None = None
    base_model_tp_plan: dict[str, object] | None = None
    experts_implementation: None = None


def why_unusable(document: JsonObject) -> list[str]:
    """What is wrong with a configuration's fields, each with what it must be."""
    try:
        _Fields.model_validate(document)
    except ValidationError as error:
        found = {}
        for details in error.errors(include_url=False):
            name = str(details["loc"][0])
            message = details["msg"].removeprefix("Value error, ")
            found[name] = f"{name}: {message[:1].lower()}{message[1:]}, not {compact(document[name])}."
        return list(found.values())
    return []
