"""Small uploads: a BERT of random numbers, and sentences with labels. Written with the real libraries, not ours."""

import json

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]

CONFIG: dict[str, object] = {
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}


def bert_tensors(layers: int = 2) -> dict[str, NDArray[np.generic]]:
    """The tensors of a BERT, names and shapes as transformers writes them."""
    tensors: dict[str, NDArray[np.generic]] = {
        "bert.embeddings.word_embeddings.weight": _random(len(VOCABULARY), 8),
        "bert.embeddings.position_embeddings.weight": _random(32, 8),
        "bert.embeddings.position_ids": np.arange(32, dtype=np.int64)[None],
        "bert.pooler.dense.weight": _random(8, 8),
    }
    for layer in range(layers):
        prefix = f"bert.encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            tensors[f"{prefix}.attention.self.{name}.weight"] = _random(8, 8)
        tensors[f"{prefix}.attention.output.dense.weight"] = _random(8, 8)
        tensors[f"{prefix}.attention.output.LayerNorm.weight"] = _random(8)
        tensors[f"{prefix}.intermediate.dense.weight"] = _random(16, 8)
        tensors[f"{prefix}.intermediate.dense.bias"] = _random(16)
        tensors[f"{prefix}.output.dense.weight"] = _random(8, 16)
    return tensors


def bert_files(layers: int = 2, **config: object) -> dict[str, bytes]:
    """The files of a directory that the service takes."""
    return {
        "config.json": json.dumps({**CONFIG, **config}).encode(),
        "vocab.txt": "\n".join(VOCABULARY).encode(),
        "model.safetensors": save(bert_tensors(layers)),
    }


def sentences(rows: int, labels: tuple[str, ...] = ("negative", "positive")) -> bytes:
    """A CSV of texts, labels in turn."""
    lines = [f'"film {row}, so {labels[row % len(labels)]}",{labels[row % len(labels)]}' for row in range(rows)]
    return "\n".join(["text,label", *lines]).encode()


def _random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
