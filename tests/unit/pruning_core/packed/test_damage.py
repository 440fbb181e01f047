"""Files that are cut, changed or made to harm: one clear error, nothing left behind, and no memory without bounds."""

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.packed.coding import compress
from pruning_core.packed.frames import Cursor, Frame, PackedError, varint
from pruning_core.packed.kinds import BLOCK, CONTENTS, END, HEAD, HEADER
from pruning_core.packed.layout import Block, tensors_of
from pruning_core.packed.packing import pack
from pruning_core.packed.precision import Precision
from pruning_core.packed.unpacking import unpack
from pruning_core.packed.values import decode_block, encode_block
from tests.unit.pruning_core.packed.models import directory_of, frames_of, sparse, write_frames


@pytest.fixture(scope="module", params=["fp32", "int8"])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small packed model with everything that a large one has."""
    weights = {"mask": sparse((64, 48), 0.1), "dense": sparse((8, 8), 1.0), "bias": torch.ones(5)}
    folder = tmp_path_factory.mktemp("packed")
    pack(directory_of(weights, folder / "model"), folder / "model.packed", precision=request.param)
    return folder / "model.packed"


def refused(file: Path, folder: Path, **limits: int) -> str:
    """The reason why a file is not unpacked; nothing is left of it."""
    with pytest.raises(PackedError) as caught:
        unpack(file, folder / "out", **limits)
    assert not (folder / "out").exists()
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
    return str(caught.value)


def some_of(length: int) -> range:
    """About a hundred places, in every part of a file."""
    return range(0, length, length // 100)


def text(document: object) -> bytes:
    """A head's payload."""
    head = json.dumps(document).encode()
    return varint(len(head)) + compress(head)


def test_truncations_are_noticed(packed: Path, tmp_path: Path) -> None:
    whole = packed.read_bytes()
    for length in some_of(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        refused(tmp_path / "cut", tmp_path)


@pytest.mark.parametrize("more", [b"\0", b"a line of text\n" * 9, b"\x89SECATEUR\r\n\x1a\n\x01"])
def test_what_follows_the_end_is_noticed(packed: Path, tmp_path: Path, more: bytes) -> None:
    (tmp_path / "longer").write_bytes(packed.read_bytes() + more)
    assert "goes on behind its end" in refused(tmp_path / "longer", tmp_path)


def test_changed_bytes_are_noticed(packed: Path, tmp_path: Path) -> None:
    whole = bytearray(packed.read_bytes())
    for place in some_of(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        (tmp_path / "changed").write_bytes(changed)
        refused(tmp_path / "changed", tmp_path)


def test_frames_out_of_order_are_noticed(packed: Path, tmp_path: Path) -> None:
    frames = frames_of(packed)
    assert [frame.kind for frame in frames] == [HEAD, CONTENTS, HEADER, BLOCK, BLOCK, BLOCK, END]
    for first in range(len(frames)):
        for second in range(first):
            swapped = list(frames)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            refused(write_frames(tmp_path / "swapped", swapped), tmp_path)
        refused(write_frames(tmp_path / "less", frames[:first] + frames[first + 1 :]), tmp_path)
        refused(write_frames(tmp_path / "twice", [*frames, frames[first]]), tmp_path)


def test_what_is_no_packed_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "no packed model" in refused(tmp_path / "zip", tmp_path)


def test_another_version_says_which_release_to_use(packed: Path, tmp_path: Path) -> None:
    changed = bytearray(packed.read_bytes())
    changed[len(b"\x89SECATEUR\r\n\x1a\n")] = 2
    (tmp_path / "newer").write_bytes(changed)
    assert "of version 2" in refused(tmp_path / "newer", tmp_path)


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd.json", "a/../../b.json", "model.py", "a\\b.json", ".bashrc", "a.json\0", ""]
)
def test_names_outside_the_directory_and_code_are_refused(name: str, tmp_path: Path) -> None:
    head = text({"files": [{"name": name, "bytes": 1}]})
    assert "no packed model may" in refused(write_frames(tmp_path / "file", [Frame(HEAD, head)]), tmp_path)


CONFIG = [{"name": "config.json", "bytes": 1}]


@pytest.mark.parametrize(
    "files",
    [
        [{"name": "a.json", "bytes": -1}],
        [{"name": "a.json", "bytes": 1.5}],
        [{"name": "a.json", "bytes": True}],
        [{"name": 7, "bytes": 1}],
        [{"name": "a.json"}],
        [*CONFIG, {"name": "a.json", "bytes": 1}, {"name": "A.json", "bytes": 1}],
        [*CONFIG, {"name": "a.json", "bytes": 1}, {"name": "a.json/b.json", "bytes": 1}],
        [*CONFIG, {"name": "A.json/b.json", "bytes": 1}, {"name": "a.json", "bytes": 1}],
        [{"name": "a.json", "bytes": 1}],
        [],
        [*CONFIG, *({"name": name, "bytes": 10**4300 - 1} for name in ("a.json", "b.json"))],
        ["a.json"],
        7,
        None,
    ],
)
def test_heads_that_make_no_sense_are_refused(files: object, tmp_path: Path) -> None:
    refused(write_frames(tmp_path / "file", [Frame(HEAD, text({"files": files}))]), tmp_path)


def test_a_file_may_not_unpack_to_more_than_is_allowed(packed: Path, tmp_path: Path) -> None:
    assert "--most-bytes" in refused(packed, tmp_path, most_bytes=1000)
    bomb = text({"files": [*CONFIG, {"name": "model.safetensors", "bytes": (1 << 40) - 1}]})
    assert "It would unpack to 1,099,511,627,776 bytes" in refused(
        write_frames(tmp_path / "bomb", [Frame(HEAD, bomb)]), tmp_path
    )


def test_no_folder_is_left_of_what_was_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(packed.read_bytes()[:-1])
    with pytest.raises(PackedError):
        unpack(tmp_path / "cut", tmp_path / "p" / "q" / "out")
    assert not (tmp_path / "p").exists()


def test_a_link_to_an_empty_directory_is_followed(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert tmp_path / "link" / "config.json" in unpack(packed, tmp_path / "link")
    assert (tmp_path / "real" / "config.json").is_file()


def test_a_directory_with_files_is_left_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="has files already"):
        unpack(packed, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


HEADERS = [
    b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b"[" * 100_000,
    b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
    b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
    b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
    b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
    b'{"a": {"dtype": "F32", "shape": [4611686018427387903, 2], "data_offsets": [0, 4]}}',
    b'{"a": {"dtype": "F32", "shape": [1e3], "data_offsets": [0, 4000]}}',
    b'{"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},'
    b' "b": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}',
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_headers_that_do_not_describe_the_bytes_are_refused(header: bytes) -> None:
    with pytest.raises(PackedError):
        tensors_of(header, 8 + len(header) + 4)


BLOCKS = [Block("F32", 64, 48, matrix=True), Block("BF16", 1, 100, matrix=False), Block("I64", 3, 5, matrix=True)]


@given(st.sampled_from(BLOCKS), st.binary(max_size=400))
def test_any_payload_is_a_block_or_refused(block: Block, payload: bytes) -> None:
    with suppress(PackedError):
        assert len(decode_block(payload, block)) == block.bytes


@given(st.data(), st.sampled_from(["fp32", "fp16", "int8"]), st.floats(0.0, 1.0))
def test_any_change_of_a_block_gives_a_block_or_is_refused(
    data: st.DataObject, precision: Precision, density: float
) -> None:
    block = Block("F32", 64, 48, matrix=True)
    payload = encode_block(sparse((64, 48), density).numpy().tobytes(), block, precision, precision).payload
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    for candidate in (bytes(changed), cut):
        with suppress(PackedError):
            assert len(decode_block(candidate, block)) == block.bytes


@given(st.binary(max_size=200), st.integers(0, 1 << 22))
def test_no_payload_takes_more_memory_than_its_block(payload: bytes, items: int) -> None:
    block = Block("F32", 1, items, matrix=False)
    tracemalloc.start()
    with suppress(PackedError):
        decode_block(payload, block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * block.bytes + (1 << 20)


@given(st.binary(max_size=30))
def test_numbers_without_an_end_are_refused(payload: bytes) -> None:
    with suppress(PackedError):
        assert Cursor(payload).number() < 1 << 63


@given(st.integers(0, (1 << 63) - 1))
def test_numbers_come_back(number: int) -> None:
    assert Cursor(varint(number)).number() == number
