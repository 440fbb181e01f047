"""What is packed comes out again: as fp32 the same files to the last bit, rounded ones within their rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from pruning_core.packed import layout
from pruning_core.packed.frames import PackedError
from pruning_core.packed.layout import Block
from pruning_core.packed.packing import pack
from pruning_core.packed.precision import Precision
from pruning_core.packed.values import decode_block, encode_block
from tests.unit.pruning_core.packed.models import contents, directory_of, round_trip, sparse

SPECIAL = torch.tensor([[0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3.4e38, 1.0]])
NUMBERS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}


def everything() -> dict[str, Tensor]:
    """Every type and every awkward shape."""
    types = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
    integers = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    tensors = {f"sparse.{dtype}": (sparse((40, 48), 0.06) * 9).to(dtype) for dtype in (*types, *integers)}
    tensors |= {f"dense.{dtype}": (sparse((40, 48), 1.0) * 9).to(dtype) for dtype in (*types, *integers)}
    return tensors | {
        "special": SPECIAL,
        "special.half": SPECIAL.to(torch.float16),
        "special.brain": SPECIAL.to(torch.bfloat16),
        "special.sparse": torch.cat([SPECIAL, torch.zeros(63, 8)]),
        "zeros": torch.zeros(64, 64),
        "negative zeros": torch.full((64, 64), -0.0),
        "ones": torch.ones(64, 64),
        "one of many": torch.eye(100)[:1].repeat(64, 1),
        "nothing": torch.empty(0, 7),
        "scalar": torch.tensor(3.0),
        "bias": torch.linspace(-1.0, 1.0, 100),
        "kernel": sparse((8, 4, 3, 3), 0.5),
        "nearly dense": sparse((64, 64), 0.9),
    }


def bits_of(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def test_fp32_gives_the_same_files_to_the_last_bit(tmp_path: Path) -> None:
    directory = directory_of(everything(), tmp_path / "model")
    assert contents(round_trip(directory)) == contents(directory)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_same_directory_gives_the_same_bytes(precision: Precision, tmp_path: Path) -> None:
    directory = directory_of(everything(), tmp_path / "model")
    for name in ("one", "two"):
        pack(directory, tmp_path / name, precision=precision)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_fp16_rounds_once(tmp_path: Path) -> None:
    directory = directory_of(everything(), tmp_path / "model")
    once = round_trip(directory, "fp16")
    for name, tensor in load_file(directory / "model.safetensors").items():
        found = load_file(once / "model.safetensors")[name]
        rounds = tensor.dtype in (torch.float32, torch.float64) and bool(tensor.isfinite().all())
        expected = tensor.to(torch.float16).to(tensor.dtype) if rounds else tensor
        assert torch.equal(bits_of(found), bits_of(expected)), name
    assert contents(round_trip(once, "fp16")) == contents(once)


def test_fp16_keeps_exactly_what_it_cannot_hold(tmp_path: Path) -> None:
    directory = directory_of({"large": torch.full((4, 4), 70_000.0)}, tmp_path / "model")
    assert contents(round_trip(directory, "fp16")) == contents(directory)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_int8_keeps_the_masks_and_rounds_by_half_a_step(dtype: torch.dtype, tmp_path: Path) -> None:
    rows = torch.logspace(-3, 1, 96)[:, None]  # the block's step would cut off the largest rows
    weight = (sparse((96, 200), 0.1) * rows).to(dtype)
    directory = directory_of({"weight": weight}, tmp_path / "model")
    found = load_file(round_trip(directory, "int8") / "model.safetensors")["weight"]
    assert found.dtype == dtype
    assert torch.equal(found != 0, weight != 0)
    root_mean_square = weight.double()[weight != 0].square().mean().sqrt()
    needed = weight.double().abs().amax(dim=1, keepdim=True) / 127
    step = torch.maximum(root_mean_square / 24, needed) * 2 ** (1 / 8)
    # A whole step where half of one would make a kept weight zero; and the type's own rounding.
    room = step * torch.where(weight.double().abs() < step / 2, 1.0, 0.5) + torch.finfo(dtype).eps * weight.abs()
    assert bool(((found.double() - weight.double()).abs() <= room).all())


def test_int8_leaves_biases_and_norms_as_fp16(tmp_path: Path) -> None:
    bias = torch.linspace(-1.0, 1.0, 100)
    directory = directory_of({"bias": bias}, tmp_path / "model")
    found = load_file(round_trip(directory, "int8") / "model.safetensors")["bias"]
    assert torch.equal(found, bias.half().float())


def test_unpruned_matrices_have_a_precision_of_their_own(tmp_path: Path) -> None:
    weights = {"pruned": sparse((64, 64), 0.1), "embeddings": sparse((64, 64), 1.0)}
    directory = directory_of(weights, tmp_path / "model")
    found = load_file(round_trip(directory, "int8", "fp16") / "model.safetensors")
    assert torch.equal(found["embeddings"], weights["embeddings"].half().float())
    assert not torch.equal(found["pruned"], weights["pruned"].half().float())


def test_large_tensors_are_packed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_ITEMS", 3000)
    tensors = {"tall": sparse((700, 40), 0.1), "wide": sparse((3, 10_000), 0.1), "long": sparse((9_001,), 1.0)}
    directory = directory_of(tensors, tmp_path / "model")
    assert contents(round_trip(directory)) == contents(directory)
    found = load_file(round_trip(directory, "int8") / "model.safetensors")
    assert all(torch.equal(found[name] != 0, tensor != 0) for name, tensor in tensors.items())


@given(st.data(), st.sampled_from(sorted(NUMBERS)), st.integers(1, 70), st.integers(1, 70))
def test_any_bits_come_back(data: st.DataObject, dtype: str, rows: int, width: int) -> None:
    size = np.dtype(NUMBERS[dtype]).itemsize
    bits = data.draw(st.binary(min_size=0, max_size=64))
    raw = (bits + bytes(rows * width * size))[: rows * width * size]
    block = Block(dtype, rows, width, matrix=True)
    coded = encode_block(raw, block, "fp32", "fp32")
    assert coded.restored == raw == decode_block(coded.payload, block)


@given(st.data(), st.sampled_from(sorted(NUMBERS)), st.floats(0, 1), st.integers(-42, 42))
def test_rounded_numbers_come_back_as_they_were_said_to(
    data: st.DataObject, dtype: str, density: float, scale: int
) -> None:
    rows, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    rounding: list[Precision] = ["fp16", "int8"]
    pruned, others = (data.draw(st.sampled_from(rounding)) for _ in range(2))
    values = sparse((rows, width), density, data.draw(st.integers(0, 99))).double() * 10.0**scale
    kinds = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    raw = values.to(kinds[dtype]).view(torch.uint8).numpy().tobytes()
    block = Block(dtype, rows, width, matrix=True)
    coded = encode_block(raw, block, pruned, others)
    assert coded.restored == decode_block(coded.payload, block)


def test_a_directory_with_code_or_pickles_is_refused(tmp_path: Path) -> None:
    directory = directory_of({"weight": torch.ones(2, 2)}, tmp_path / "model")
    (directory / "modeling.py").write_text("")
    with pytest.raises(PackedError, match=r"'modeling\.py' is none of"):
        pack(directory, tmp_path / "file")
    assert not list(tmp_path.glob("file*"))


def test_what_could_not_be_unpacked_is_not_packed(tmp_path: Path) -> None:
    many = directory_of({"a": torch.ones(2)}, tmp_path / "many")
    for number in range(1000):
        (many / f"{number}.txt").write_text("x")
    with pytest.raises(PackedError, match="at most 1,000"):
        pack(many, tmp_path / "file")
    cut = directory_of({"a": torch.ones(2)}, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((100).to_bytes(8, "little") + b"{}")
    with pytest.raises(PackedError, match="ends within its header"):
        pack(cut, tmp_path / "file")


def test_what_is_no_model_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackedError, match=r"no config\.json"):
        pack(tmp_path, tmp_path / "file")
