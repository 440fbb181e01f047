"""Where the attention heads lie in the matrices of every family, held against the model's own forward."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pruning_core.prunable import HeadLayout, Matrix, base_model, prunable_matrices
from tests.families import MODELS, Build, answer, built
from tests.tiny import tiny_model

every_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())


def of_head(heads: HeadLayout, head: int) -> list[int]:
    """Rows or columns of the linear map that belong to a head."""
    starts = [(part * heads.count + head) * heads.size for part in range(heads.fused)]
    return [number for start in starts for number in range(start, start + heads.size)]


@contextmanager
def without_head(model: PreTrainedModel, matrix: Matrix, head: int) -> Iterator[None]:
    """Zero a head's part of a matrix, and of its bias where it lies along the outputs."""
    assert matrix.heads is not None
    module = base_model(model).get_submodule(matrix.name)
    tensors = [matrix.parameter]
    if matrix.heads.axis == "out" and isinstance(bias := getattr(module, "bias", None), nn.Parameter):
        tensors.append(bias)
    before = [tensor.detach().clone() for tensor in tensors]
    along_rows = (matrix.heads.axis == "out") != matrix.transposed
    with torch.no_grad():
        rows = of_head(matrix.heads, head)
        if along_rows:
            matrix.parameter[rows] = 0
        else:
            matrix.parameter[:, rows] = 0
        for bias in tensors[1:]:
            bias[rows] = 0
    yield
    with torch.no_grad():
        for tensor, old in zip(tensors, before, strict=True):
            tensor.copy_(old)


def with_heads(model: PreTrainedModel, axis: str) -> list[Matrix]:
    return [matrix for matrix in prunable_matrices(model) if matrix.heads and matrix.heads.axis == axis]


def first_context(model: PreTrainedModel, output: Matrix) -> Tensor:
    """[rows, tokens, heads · size] what the attention gives to its output projection, the first time it is called."""
    seen: list[Tensor] = []
    module = base_model(model).get_submodule(output.name)
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    answer(model)
    handle.remove()
    return seen[0].reshape(*seen[0].shape[:2], -1)


@every_model
def test_zeroing_a_head_in_its_matrices_is_zeroing_what_it_says(build: Build) -> None:
    model = built(build)
    for output in with_heads(model, "in"):
        assert output.heads is not None
        head = output.heads.count - 2
        columns = of_head(output.heads, head)

        def silence(_: nn.Module, inputs: tuple[Tensor], columns: list[int] = columns) -> tuple[Tensor]:
            context = inputs[0].clone()
            context[..., columns] = 0
            return (context,)

        handle = base_model(model).get_submodule(output.name).register_forward_pre_hook(silence)
        expected = answer(model)
        handle.remove()
        assert not torch.allclose(answer(model), expected, atol=1e-5), "the head says nothing: the test proves nothing"
        with without_head(model, output, head):
            assert torch.allclose(answer(model), expected, atol=1e-5)


@every_model
def test_a_head_s_rows_of_queries_keys_and_values_feed_that_head_alone(build: Build) -> None:
    model = built(build)
    outputs = {matrix.layer: matrix for matrix in with_heads(model, "in")}
    checked = 0
    for matrix in with_heads(model, "out"):
        output = outputs[matrix.layer]
        assert matrix.heads is not None
        assert output.heads is not None
        head = matrix.heads.count - 2
        dense = first_context(model, output)
        with without_head(model, matrix, head):
            changed = (first_context(model, output) - dense).abs().amax(dim=(0, 1)) > 1e-6
        its_own = torch.zeros_like(changed)
        its_own[of_head(output.heads, head)] = True
        assert changed.any(), matrix.name
        assert not changed[~its_own].any(), matrix.name
        checked += 1
    assert checked == len(outputs) * (checked // len(outputs)) > 0, "each block has as many"


def test_the_heads_of_a_layer_cover_queries_keys_values_and_output() -> None:
    expected = HeadLayout("out", 4, 8), HeadLayout("out", 4, 8), HeadLayout("out", 4, 8), HeadLayout("in", 4, 8)
    for name in ("bert", "distilbert", "roberta", "electra", "albert", "mpnet", "vit"):
        layouts = [matrix.heads for matrix in prunable_matrices(tiny_model(name)) if matrix.layer == 0]
        assert layouts == [*expected, None, None], name
    fused = HeadLayout("out", 4, 8, fused=3), HeadLayout("in", 4, 8)
    for name in ("gpt2", "modernbert"):
        layouts = [matrix.heads for matrix in prunable_matrices(tiny_model(name)) if matrix.layer == 0]
        assert layouts == [*fused, None, None], name
