"""Wanda: |W|·‖X‖ within output rows, against the layers' inputs worked out by hand, padding left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertForSequenceClassification

from pruning_core.prunable import prunable_matrices
from pruning_core.run import prune
from tests.families import built
from tests.tiny import reviews, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_spec

UNTRAINED = {"max_steps": None}  # what `short_spec` sets; without it Wanda trains nothing


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose head knows the labels; its numbers are random, which is all that is wanted here."""
    folder = tmp_path_factory.mktemp("model")
    model = built(lambda: tiny_model("bert"))
    model.config.id2label, model.config.label2id = {0: "negative", 1: "positive"}, {"negative": 0, "positive": 1}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@torch.no_grad()
def inputs_of_every_matrix(model: BertForSequenceClassification, texts: list[str]) -> dict[str, Tensor]:
    """[tokens, in] what each linear map of BERT reads on real tokens, one text at a time: no padding, no hooks."""
    found: dict[str, list[Tensor]] = {}
    for text in texts:
        encoded = tiny_tokenizer()(text, return_tensors="pt", truncation=True, max_length=16)
        x = model.bert.embeddings(encoded["input_ids"], encoded["token_type_ids"])[0]  # [t, 32]
        layers: Any = model.bert.encoder.layer  # to the checker, a module of modules of unknown class
        for number, layer in enumerate(layers):
            name, attention = f"encoder.layer.{number}.", layer.attention
            maps = (attention.self.query, attention.self.key, attention.self.value)
            q, k, v = (one(x).view(len(x), 4, 8).transpose(0, 1) for one in maps)
            context = (torch.softmax(q @ k.transpose(1, 2) / 8**0.5, dim=-1) @ v).transpose(0, 1).reshape(len(x), 32)
            attended = attention.output.LayerNorm(attention.output.dense(context) + x)
            inner = F.gelu(layer.intermediate.dense(attended))
            for part in ("query", "key", "value"):
                found.setdefault(f"{name}attention.self.{part}", []).append(x)
            found.setdefault(f"{name}attention.output.dense", []).append(context)
            found.setdefault(f"{name}intermediate.dense", []).append(attended)
            found.setdefault(f"{name}output.dense", []).append(inner)
            x = layer.output.LayerNorm(layer.output.dense(inner) + attended)
    return {name: torch.cat(parts) for name, parts in found.items()}


@pytest.mark.parametrize("sparsity", [0.5, 0.3])
def test_each_row_keeps_its_largest_weight_times_input_norm(fine_tuned: Path, tmp_path: Path, sparsity: float) -> None:
    train = reviews(100)  # fewer than the rows that Wanda looks at: it sees all of them
    spec = short_spec("wanda", target_sparsity=sparsity, training=UNTRAINED)
    prune(fine_tuned, train, spec, tmp_path, evaluation=reviews(20, seed=1), illustrated=False)
    weights = load_file(tmp_path / "model" / "model.safetensors")

    model = BertForSequenceClassification.from_pretrained(fine_tuned)
    inputs = inputs_of_every_matrix(model, train["text"].to_pylist())
    kept_in_all = 0
    for matrix in prunable_matrices(model):
        importance = matrix.parameter.detach().abs() * inputs[matrix.name].norm(dim=0)
        kept = weights[f"bert.{matrix.name}.weight"] != 0
        kept_in_all += int(kept.sum())
        for row, mask in zip(importance.tolist(), kept.tolist(), strict=True):
            count = sum(mask)
            assert abs(count - (1 - sparsity) * len(row)) < 1
            worst_kept = min(value for value, keep in zip(row, mask, strict=True) if keep)
            best_gone = max(value for value, keep in zip(row, mask, strict=True) if not keep)
            assert worst_kept > best_gone * (1 - 1e-4)
        stored = weights[f"bert.{matrix.name}.weight"]
        assert torch.equal(stored, torch.where(kept, matrix.parameter.detach(), 0.0)), "what stays is left as it was"
    assert kept_in_all == round((1 - sparsity) * sum(m.parameter.numel() for m in prunable_matrices(model)))


def test_two_of_four_by_wanda_keeps_the_two_best_of_each_group(fine_tuned: Path, tmp_path: Path) -> None:
    train = reviews(60)
    pruning = {"granularity": "2:4"}
    spec = short_spec("wanda", target_sparsity=0.5, pruning=pruning, training=UNTRAINED)
    prune(fine_tuned, train, spec, tmp_path, evaluation=reviews(20, seed=1), illustrated=False)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    model = BertForSequenceClassification.from_pretrained(fine_tuned)
    inputs = inputs_of_every_matrix(model, train["text"].to_pylist())
    for matrix in prunable_matrices(model):
        importance = (matrix.parameter.detach().abs() * inputs[matrix.name].norm(dim=0)).reshape(-1, 4)
        kept = (weights[f"bert.{matrix.name}.weight"] != 0).reshape(-1, 4)
        assert bool((kept.sum(dim=1) == 2).all())
        best = np.sort(np.argsort(importance.numpy(), axis=1)[:, 2:], axis=1)
        assert np.array_equal(best, np.nonzero(kept.numpy())[1].reshape(-1, 2))
