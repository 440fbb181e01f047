"""Tiny models and datasets for tests: real architectures and a real tokenizer, small enough to train in seconds."""

import random
from pathlib import Path

import pyarrow as pa
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

GOOD = ["great", "lovely", "superb", "moving", "bright"]
BAD = ["awful", "boring", "clumsy", "stale", "dull"]
NEUTRAL = ["the", "film", "plot", "actor", "scene", "music", "was", "and", "with", "some"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *NEUTRAL]

#: What makes each supported family tiny; the sizes go by different names.
SMALL: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 64, "n_positions": 64},
    # heads of 4 × 6: together they span less than d_model
    "t5": {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 6, "d_ff": 64},
}
DEFAULT_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
EXTRA_SMALL: dict[str, dict[str, object]] = {
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    # [CLS] and [SEP] of the tokenizer below begin and end a text
    "gpt2": {"bos_token_id": 2, "eos_token_id": 3},
    "modernbert": {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    "t5": {"eos_token_id": 3, "decoder_start_token_id": 0},
    "vit": {"image_size": 8, "patch_size": 4},
}
#: What the families of texts have in common; those with positions of another kind go without a table.
TEXT: dict[str, object] = {"vocab_size": len(VOCABULARY), "type_vocab_size": 2, "pad_token_id": 0}
WITHOUT_TABLE = frozenset({"gpt2", "t5"})


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer with BERT's special tokens and pair template."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def tiny_config(model_type: str = "bert", **changes: object) -> PreTrainedConfig:
    """The configuration of a tiny model of a supported family."""
    sizes = SMALL.get(model_type, DEFAULT_SMALL) | EXTRA_SMALL.get(model_type, {})
    if model_type != "vit":
        sizes = TEXT | ({} if model_type in WITHOUT_TABLE else {"max_position_embeddings": 64}) | sizes
    config = AutoConfig.for_model(model_type, **(sizes | changes))
    assert isinstance(config, PreTrainedConfig)
    return config


def tiny_model(model_type: str = "bert", num_labels: int = 2, seed: int = 0) -> PreTrainedModel:
    """A randomly initialised classifier of a supported family: of texts, or of images for ViT."""
    config = tiny_config(model_type, num_labels=num_labels)
    torch.manual_seed(seed)
    if model_type == "vit":
        model = AutoModelForImageClassification.from_config(config)
    else:
        model = AutoModelForSequenceClassification.from_config(config)
    assert isinstance(model, PreTrainedModel)
    return model


def save_tiny_model(directory: Path, model_type: str = "bert", seed: int = 0) -> Path:
    """Write a tiny model and its tokenizer as a Hugging Face directory."""
    tiny_model(model_type, seed=seed).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


def reviews(rows: int, seed: int = 0) -> pa.Table:
    """Sentences whose label, `negative` or `positive`, a model can learn from single words; as many of each."""
    generator = random.Random(seed)
    texts: list[str] = []
    labels: list[str] = []
    for row in range(rows):
        words = generator.choices(NEUTRAL, k=generator.randint(2, 9)) + generator.choices((BAD, GOOD)[row % 2], k=3)
        generator.shuffle(words)
        texts.append(" ".join(words))
        labels.append(("negative", "positive")[row % 2])
    return pa.table({"text": texts, "label": labels})
