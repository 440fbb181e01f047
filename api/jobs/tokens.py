"""Whether two stored models' tokenizers do the same, whatever their files look like.

`save_pretrained` writes a tokenizer's file anew: in another layout, with the settings of the moment. A model that the
service itself has exported has other bytes than the one it was made of, and the same tokens.
"""

import json
from collections.abc import Mapping
from functools import lru_cache

from tokenizers import Tokenizer

from api.models.tokenizer import read_tokenizer, vocabulary_of
from store import BlobStore, Model

#: The sets of files that tokenizers come in; the first that a model has is what counts.
_SETS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))

#: Case, accents, punctuation, digits, signs without blanks, nothing at all: what the tokenizers must read alike.
_PROBES = ("The film was GOOD, wasn't it?", "Ünïcödé café 日本", "x1 2,000", "")

#: A file's name and its blob.
_Files = tuple[tuple[str, str], ...]


def knows_the_tokens(blobs: BlobStore, teacher: Model, student: Model) -> bool:
    """Whether each token of the student has the same number for the teacher, and texts become the same tokens.

    Reads both tokenizers, which an upload has checked and kept below its limit of size; the answer is remembered.

    Raises:
        BlobCorrupt: A file is damaged.
    """
    theirs, ours = (_files_of(model) for model in (teacher, student))
    # The blob store keeps equal contents once.
    return theirs == ours or _alike(blobs, theirs, ours)  # type: ignore[arg-type]  # every object is hashable, a protocol's too


def _files_of(model: Model) -> _Files:
    """The files that make the tokenizer."""
    stored = {file.path: file.blob_id for file in model.files}
    names = next(names for names in _SETS if set(names) <= set(stored))
    return tuple((name, stored[name]) for name in names)


@lru_cache(maxsize=256)
def _alike(blobs: BlobStore, theirs: _Files, ours: _Files) -> bool:
    (their_files, teacher), (our_files, student) = (_opened(blobs, files) for files in (theirs, ours))
    if not vocabulary_of(student, our_files).items() <= vocabulary_of(teacher, their_files).items():
        return False
    if _merges(teacher, their_files) != _merges(student, our_files):
        return False
    return teacher is None or student is None or _readings(teacher) == _readings(student)


def _opened(blobs: BlobStore, files: _Files) -> tuple[dict[str, bytes], Tokenizer | None]:
    contents = {name: b"".join(blobs.read(blob_id)) for name, blob_id in files}
    return contents, read_tokenizer(contents["tokenizer.json"]) if "tokenizer.json" in contents else None


def _merges(tokenizer: Tokenizer | None, files: Mapping[str, bytes]) -> list[list[str]] | None:
    """What a byte-pair encoder joins, in order; None for tokenizers of another kind."""
    if tokenizer is None:
        if "merges.txt" not in files:
            return None
        lines = files["merges.txt"].decode().split("\n")
        return [line.split(" ") for line in lines if line.strip() and not line.startswith("#version")]
    if type(tokenizer.model).__name__ != "BPE":
        return None
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in merges]


def _readings(tokenizer: Tokenizer) -> list[list[int]]:
    """The token numbers of a few texts, alone and in pairs; how long they may get is a setting of the moment."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [tokenizer.encode(text, second).ids for text in _PROBES for second in (None, "x")]
