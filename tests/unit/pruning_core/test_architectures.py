"""Every supported family: its blocks, its tasks, and prune → save → stock reload → equal answers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BartConfig,
    BartModel,
    OPTConfig,
    OPTModel,
    PreTrainedModel,
    T5EncoderModel,
    T5ForConditionalGeneration,
)
from transformers.models.auto import modeling_auto

from pruning_core.architectures import ARCHITECTURES, TEXT_TASKS, max_tokens, tasks_of
from pruning_core.architectures import prunable_matrices as matrices_of_a_checkpoint
from pruning_core.probing import random_inputs
from pruning_core.prunable import Matrix, base_model, encoder_of, prunable_matrices
from tests.families import MODELS, Build, answer, as_class, built
from tests.tiny import tiny_model

every_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())


# --- blocks --------------------------------------------------------------------------------------------------------


@every_model
def test_layers_are_numbered_block_by_block(build: Build) -> None:
    model = build()
    shared = model.config.model_type == "albert"
    blocks = model.config.num_hidden_groups * model.config.inner_group_num if shared else 2
    matrices = prunable_matrices(model)
    assert [matrix.layer for matrix in matrices] == sorted(list(range(blocks)) * (len(matrices) // blocks))
    assert all(matrix.transposed == (model.config.model_type == "gpt2") for matrix in matrices)
    for matrix in matrices:
        linear = base_model(model).get_submodule(matrix.name)
        named = ("nf", "nx") if matrix.transposed else ("out_features", "in_features")
        assert matrix.shape == tuple(getattr(linear, name) for name in named)


def test_albert_s_shared_layer_counts_once() -> None:
    model = tiny_model("albert")
    assert model.config.num_hidden_layers == 2
    assert len(prunable_matrices(model)) == 6


def test_the_decoder_of_t5_is_left_dense() -> None:
    model = tiny_model("t5")
    matrices = prunable_matrices(model)
    assert len(matrices) == 2 * 6
    assert all(matrix.name.startswith("encoder.block.") for matrix in matrices)
    assert encoder_of(model, matrices) is base_model(model).get_submodule("encoder.block")


def test_an_unknown_family_is_pruned_by_its_lists_of_blocks_without_knowing_its_heads() -> None:
    config = OPTConfig(
        vocab_size=30, max_position_embeddings=16, hidden_size=16, ffn_dim=24, num_hidden_layers=3,
        num_attention_heads=2, word_embed_proj_dim=16,
    )  # fmt: skip
    opt = OPTModel(config)
    matrices = prunable_matrices(opt)
    assert len(matrices) == 3 * 6
    assert {matrix.layer for matrix in matrices} == {0, 1, 2}
    assert all(matrix.heads is None for matrix in matrices)
    assert matrices[0].name.startswith("decoder.layers.0.")
    assert encoder_of(opt, matrices) is opt.get_submodule("decoder.layers")


def test_of_an_unknown_encoder_and_decoder_only_the_encoder_is_pruned() -> None:
    config = BartConfig(
        vocab_size=30, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=16,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    matrices = prunable_matrices(BartModel(config))
    assert len(matrices) == 2 * 6
    assert all(matrix.name.startswith("encoder.layers.") for matrix in matrices)


# --- prune, save, reload -------------------------------------------------------------------------------------------


def prune(matrices: list[Matrix], density: float) -> int:
    """Keep the largest weights of all matrices together; return how many were zeroed."""
    weights = torch.cat([matrix.parameter.detach().abs().flatten() for matrix in matrices])
    removed = len(weights) - round(density * len(weights))
    threshold = weights.sort().values[removed]
    with torch.no_grad():
        for matrix in matrices:
            matrix.parameter[matrix.parameter.abs() < threshold] = 0
    return removed


@every_model
def test_a_pruned_model_is_the_same_after_stock_transformers_saved_and_loaded_it(build: Build, tmp_path: Path) -> None:
    model = built(build)
    zeros = {name: int((parameter == 0).sum()) for name, parameter in model.named_parameters()}
    matrices = prunable_matrices(model)
    removed = prune(matrices, density=0.1)
    model.save_pretrained(tmp_path)

    stock: PreTrainedModel = type(model).from_pretrained(tmp_path)
    assert torch.equal(answer(stock.train(mode=False)), answer(model))
    assert sum(int((matrix.parameter == 0).sum()) for matrix in prunable_matrices(stock)) == removed
    pruned = {id(matrix.parameter) for matrix in matrices}
    for name, parameter in model.named_parameters():
        assert id(parameter) in pruned or int((parameter == 0).sum()) == zeros[name], f"{name} was touched"


@every_model
def test_a_checkpoint_s_header_names_the_matrices_the_loaded_model_has(build: Build, tmp_path: Path) -> None:
    """What the service reckons from tensor names at submit is what the worker will prune, with and without prefix."""
    model = build()
    model.save_pretrained(tmp_path)
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    loaded = {matrix.name: matrix.shape for matrix in prunable_matrices(model)}
    model_type = model.config.model_type
    prefix = ARCHITECTURES[model_type].base_prefix + "."
    assert matrices_of_a_checkpoint(model_type, shapes) == loaded
    assert matrices_of_a_checkpoint(model_type, {n.removeprefix(prefix): s for n, s in shapes.items()}) == loaded
    assert loaded


# --- tasks ---------------------------------------------------------------------------------------------------------

HEADS = {
    "text-classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "regression": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "question-answering": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    "token-classification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_family_has_the_tasks_that_transformers_has_heads_for(model_type: str) -> None:
    assert set(HEADS) == TEXT_TASKS
    assert ARCHITECTURES[model_type].tasks == {task for task, names in HEADS.items() if model_type in names}


def test_t5_without_its_decoder_can_only_tag_tokens() -> None:
    encoder = as_class(T5EncoderModel)().state_dict()
    assert tasks_of("t5", encoder) == {"token-classification"}
    assert tasks_of("t5", tiny_model("t5").state_dict()) == TEXT_TASKS
    assert tasks_of("t5", as_class(T5ForConditionalGeneration)().state_dict()) == TEXT_TASKS
    assert tasks_of("bert", ["bert.encoder.layer.0.output.dense.weight"]) == TEXT_TASKS
    assert tasks_of("vit", []) == frozenset()


def test_the_longest_input_is_read_where_the_family_has_it() -> None:
    assert max_tokens({"model_type": "bert", "max_position_embeddings": 512}) == 512
    assert max_tokens({"model_type": "roberta", "max_position_embeddings": 514}) == 512
    assert max_tokens({"model_type": "gpt2", "n_positions": 1024, "n_ctx": 512}) == 1024
    assert max_tokens({"model_type": "t5", "n_positions": 512}) is None, "what T5's configs say of it means nothing"


def test_t5_s_classifier_learns() -> None:
    model = tiny_model("t5").train()
    inputs = random_inputs(model.config, rows=8, tokens=6)
    labels = torch.arange(8) % 2
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(matrix.parameter.grad is not None for matrix in prunable_matrices(model))
