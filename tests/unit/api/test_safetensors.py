"""The header of a safetensors file: what the real library writes is read, whatever else is refused."""

import io
import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import save

from api.models.safetensors import BadSafetensors, read_header

DTYPES = st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_, np.float64])


def read(raw: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Types and shapes."""
    tensors = read_header(io.BytesIO(raw), len(raw)).tensors
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        DTYPES.flatmap(lambda dtype: npst.arrays(dtype, npst.array_shapes(max_dims=3, max_side=4), elements={})),
        max_size=4,
    )
)
def test_what_the_library_writes_is_read(tensors: dict[str, Any]) -> None:
    raw = save(tensors, {"format": "pt"})
    header = read_header(io.BytesIO(raw), len(raw))
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {n: t.shape for n, t in tensors.items()}
    assert header.metadata == {"format": "pt"}
    for name, tensor in header.tensors.items():
        assert raw[tensor.start : tensor.end] == tensors[name].tobytes()


@given(st.binary(max_size=64), st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_still_a_whole_one(tail: bytes, place: int, damage: bytes) -> None:
    raw = bytearray(save({"a": np.zeros((2, 3), np.float32)}) + tail)
    raw[place : place + len(damage)] = damage
    with suppress(BadSafetensors):
        assert all(size >= 0 for _, shape in read(bytes(raw)).values() for size in shape)


def file(header: object, data: bytes = b"") -> bytes:
    """A file with a header of one's own."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype: str = "F32", shape: object = (1,), start: object = 0, end: object = 4) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "shorter than 8 bytes"),
        (struct.pack("<Q", 16 * 2**20 + 1), "is the limit"),
        (struct.pack("<Q", 9) + b"{}", "breaks off inside its header"),
        (file(b"not json"), "not usable JSON"),
        (file(b'{"a": 1, "a": 2}'), "twice"),
        (file(b"[" * 100_000), "not usable JSON"),
        (file([]), "not a JSON object"),
        (file({"a": 1}), "lacks a dtype"),
        (file({"a": {**entry(), "more": 1}}, b"1234"), "or has more"),
        (file({"a": entry("F33")}, b"1234"), "unknown dtype"),
        (file({"a": entry(shape=(2,))}, b"1234"), "do not fit"),
        (file({"a": entry(shape=(-1, -1))}, b"1234"), "do not fit"),
        (file({"a": entry(shape=("1",))}, b"1234"), "lacks a dtype"),
        (file({"a": entry(start=4, end=8)}, b"12345678"), "leaves a gap"),
        (file({"a": entry(), "b": entry()}, b"1234"), "overlaps"),
        (file({"a": entry()}, b"123"), "cut off"),
        (file({"a": entry()}, b"12345"), "added to"),
        (file({"__metadata__": {"a": 1}}), "text to text"),
        (file({"\0": entry()}, b"1234"), "NUL"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, words: str) -> None:
    with pytest.raises(BadSafetensors, match=words):
        read(raw)
