"""Files that a fuzzer makes, guided by which code they reach: each is unpacked, or refused by `PackedError`.

`make fuzz` runs it for a minute; SECONDS=N for longer. Checksums are set right, so that what lies behind them is
reached. An input that breaks it is left as crash-… in `.cache/fuzz`.
"""

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pruning_core.packed"]):
    from pruning_core.packed.frames import Frame, PackedError, write_frame, write_start
    from pruning_core.packed.layout import Block
    from pruning_core.packed.unpacking import unpack
    from pruning_core.packed.values import decode_block

KINDS = [b"H", b"F", b"S", b"B", b"E"]
BLOCKS = [
    Block("F32", 40, 40, matrix=True),
    Block("BF16", 1, 300, matrix=False),
    Block("F16", 9, 5, matrix=True),
    Block("I64", 3, 3, matrix=True),
]


def try_block(data: bytes) -> None:
    """A payload is a block of the right size, or refused."""
    if not data:
        return
    block = BLOCKS[data[0] % len(BLOCKS)]
    with suppress(PackedError):
        assert len(decode_block(data[1:], block)) == block.bytes


def try_file(data: bytes) -> None:
    """Frames of any kind and content make a directory, or are refused and leave nothing."""
    source = atheris.FuzzedDataProvider(data)
    with tempfile.TemporaryDirectory() as folder:
        file, directory = Path(folder) / "file", Path(folder) / "out"
        with file.open("wb") as stream:
            write_start(stream)
            while source.remaining_bytes():
                kind = source.PickValueInList(KINDS)
                write_frame(stream, Frame(kind, source.ConsumeBytes(source.ConsumeIntInRange(0, 300))))
        try:
            unpack(file, directory, most_bytes=1 << 20)
        except PackedError:
            assert [path.name for path in Path(folder).iterdir()] == ["file"]


def try_all(data: bytes) -> None:
    """Both."""
    try_block(data)
    try_file(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_all)
    atheris.Fuzz()
