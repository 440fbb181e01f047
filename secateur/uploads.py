"""What is sent when a dataset or a model is uploaded: which files, under which names, read how."""

import io
import mimetypes
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from secateur.errors import LocalFileError
from secateur.transport import Files

#: What the service takes of a Hugging Face directory by name: configuration and tokenizer, nothing that runs.
MODEL_FILES = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "model.safetensors.index.json",
    }
)
#: And by ending, whatever the name: weights and SentencePiece models.
MODEL_SUFFIXES = frozenset({".safetensors", ".model"})

#: What to send: (form field, file).
Fields = list[tuple[str, Path]]
#: Told how many further bytes were read for sending; negative where an upload starts over.
OnBytes = Callable[[int], None]


def dataset_files(splits: Mapping[str, Path]) -> Fields:
    """The fields of a dataset upload: one file for each split, in the order given.

    Raises:
        LocalFileError: There is no split, or one is not a file.
    """
    if not splits:
        raise LocalFileError("A dataset needs at least one split: give the file of its `train` split.")
    for split, path in splits.items():
        if not path.is_file():
            what = "is a directory" if path.is_dir() else "does not exist"
            raise LocalFileError(
                f"The {split} split's file {path} {what}. Give a CSV, TSV, JSONL, Parquet or JSON file."
            )
    return list(splits.items())


def model_files(directory: Path) -> tuple[Fields, list[str]]:
    """The fields of a model upload, and the names in the directory that stay behind.

    Subdirectories stay behind, and so do files that the service refuses: read-me files, pickled weights, code,
    configuration of other programs.

    Raises:
        LocalFileError: It is not a directory, or nothing in it is a model's.
    """
    if not directory.is_dir():
        what = "is a file" if directory.is_file() else "does not exist"
        raise LocalFileError(f"{directory} {what}. Give the directory that `save_pretrained` wrote.")
    taken: Fields = []
    left: list[str] = []
    for path in sorted(directory.iterdir()):
        # is_file() follows links on purpose: the Hub's cache is a directory of links.
        wanted = path.name in MODEL_FILES or (path.suffix in MODEL_SUFFIXES and not path.name.startswith("."))
        if path.is_file() and wanted:
            taken.append(("files", path))
        else:
            left.append(f"{path.name}/" if path.is_dir() else path.name)
    missing = [
        what
        for what, there in {
            "config.json": any(path.name == "config.json" for _, path in taken),
            "weights (*.safetensors)": any(path.suffix == ".safetensors" for _, path in taken),
        }.items()
        if not there
    ]
    if missing:
        # As `secateur download` leaves one.
        remedy = f"Did you mean {directory / 'model'}?"
        if not (directory / "model" / "config.json").is_file():
            remedy = "Write one with model.save_pretrained(directory) and tokenizer.save_pretrained(directory)."
        raise LocalFileError(
            f"{directory} is not a model Secateur can take: it has no {' and no '.join(missing)}. {remedy}"
        )
    return taken, left


class Outgoing:
    """The files of one upload, opened anew for each try at sending them.

    Attributes:
        size: Bytes in all.
    """

    def __init__(self, fields: Fields, on_bytes: OnBytes) -> None:
        self._fields = fields
        self._on_bytes = on_bytes
        self._read = 0
        self.size = sum(path.stat().st_size for _, path in fields)

    def open(self) -> Files:
        """Open the files at their beginning; whoever sends them closes them.

        Raises:
            LocalFileError: One cannot be read.
        """
        self._count(-self._read)
        with ExitStack() as stack:
            files: Files = []
            for field, path in self._fields:
                try:
                    file = stack.enter_context(_Counted(path, self._count))
                except OSError as error:
                    raise LocalFileError(f"{path} cannot be read: {error.strerror}.") from error
                files.append((field, (path.name, file, _media_type(path))))
            stack.pop_all()
        return files

    def _count(self, further: int) -> None:
        self._read += further
        self._on_bytes(further)


def _media_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


class _Counted(io.FileIO):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        super().__init__(path, "rb")
        self._on_bytes = on_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self._on_bytes(len(data or b""))
        return data or b""
