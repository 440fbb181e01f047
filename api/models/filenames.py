"""Which files a model directory may have here: weights, configuration and tokenizer, nothing that runs."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

_ALLOWED = frozenset(
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
_WEIGHTS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors")
_SENTENCEPIECE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.model")

_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".npz", ".joblib", ".ot"})
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_CODE = frozenset({".py", ".pyc", ".so", ".dll", ".sh", ".ipynb"})
_SAFE = "Convert the weights with model.save_pretrained(folder, safe_serialization=True) and upload *.safetensors."

MAX_LENGTH = 200


def why_refused(filename: str) -> str | None:
    """Why a file cannot be part of a model, and what to do; None if it can."""
    if not filename:
        return "A file came without a name. Send its name with it (curl: -F files=@config.json)."
    if "\0" in filename or not filename.isprintable() or len(filename) > MAX_LENGTH:
        return f"The file name must be at most {MAX_LENGTH} printable characters."
    if "/" in filename or "\\" in filename or filename in {".", ".."} or ":" in filename:
        return f"{filename!r} is a path. Send the bare file name: a model here is one flat directory."
    if filename in _ALLOWED or _WEIGHTS.fullmatch(filename) or _SENTENCEPIECE.fullmatch(filename):
        return None
    return _why_foreign(filename)


def _why_foreign(filename: str) -> str:
    """Why a file that is none of ours is refused."""
    suffix = PurePosixPath(filename).suffix.lower()
    if suffix in _PICKLES:
        return f"{filename!r} is a format that can run code when it is loaded, or not safetensors. {_SAFE}"
    if suffix in _ARCHIVES:
        return f"{filename!r} is an archive. Send the files in it one by one."
    if suffix in _CODE:
        return f"{filename!r} is code, and this service runs none from uploads. Leave it out."
    taken = f"{', '.join(sorted(_ALLOWED))}, *.safetensors and *.model"
    return f"{filename!r} is not a file that a model needs here. Leave it out; taken are {taken}."


def what_is_missing(filenames: Iterable[str]) -> list[str]:
    """Which of configuration, tokenizer and weights a directory lacks, each with its remedy."""
    names = set(filenames)
    missing = []
    if "config.json" not in names:
        missing.append("config.json is missing. Upload all files that model.save_pretrained(folder) writes.")
    tokenizer = {"tokenizer.json"} <= names or {"vocab.txt"} <= names or {"vocab.json", "merges.txt"} <= names
    if not tokenizer and any(_SENTENCEPIECE.fullmatch(name) for name in names):
        missing.append(
            "A sentencepiece *.model alone cannot be read here. Add the tokenizer.json that "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes where sentencepiece is installed."
        )
    elif not tokenizer:
        missing.append(
            "The tokenizer is missing: tokenizer.json, or vocab.txt, or vocab.json with merges.txt. Upload what "
            "tokenizer.save_pretrained(folder) writes."
        )
    if not any(_WEIGHTS.fullmatch(name) for name in names):
        missing.append(f"The weights are missing: no *.safetensors. {_SAFE}")
    return missing
