"""Which matrices are pruned, counted on the paper's own model."""

import time

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from pruning_core.architectures import ARCHITECTURES
from pruning_core.prunable import NothingToPrune, base_model, encoder_of, prunable_matrices
from tests.tiny import tiny_model


def test_bert_base_has_the_paper_s_counts() -> None:
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig())
    matrices = prunable_matrices(model)
    assert len(matrices) == 12 * 6
    assert sum(matrix.parameter.numel() for matrix in matrices) == 84_934_656
    assert sum(p.numel() for p in encoder_of(model, matrices).parameters()) == 85_054_464


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_embeddings_pooler_head_biases_and_norms_are_left_alone(model_type: str) -> None:
    model = tiny_model(model_type)
    pruned = {id(matrix.parameter) for matrix in prunable_matrices(model)}
    outside = ("embed", "pooler", "classifi", "wte", "wpe", "shared", "score", "bias", "norm", "ln_", "Norm")
    kept = [p for name, p in model.named_parameters() if any(part in name for part in outside)]
    assert len(kept) > 2
    assert not any(id(parameter) in pruned for parameter in kept)


def test_a_pattern_narrows_the_choice() -> None:
    matrices = prunable_matrices(tiny_model(), r"attention\.self")
    assert [matrix.name.rsplit(".", 1)[1] for matrix in matrices] == ["query", "key", "value"] * 2


def test_a_catastrophic_pattern_cannot_hang_the_run() -> None:
    started = time.monotonic()
    with pytest.raises(NothingToPrune):
        prunable_matrices(tiny_model(), "(.+)+Q")
    assert time.monotonic() - started < 5


def test_a_pattern_that_matches_nothing_is_refused_with_an_example() -> None:
    model: PreTrainedModel = tiny_model()
    with pytest.raises(NothingToPrune, match=r"encoder\.layer\.0"):
        prunable_matrices(model, "nothing")


def test_the_encoder_of_one_layer_s_matrices_is_still_the_whole_stack() -> None:
    model = tiny_model()
    encoder = encoder_of(model, prunable_matrices(model, r"layer\.0\."))
    assert encoder is base_model(model).get_submodule("encoder.layer")
