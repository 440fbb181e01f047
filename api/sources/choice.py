"""Which files of a folder or a repository make a model, and which a dataset's splits."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import cast

from api.datasets.formats import FORMATS
from api.models.filenames import why_refused
from api.models.weights import INDEX
from api.sources.problems import SourceRefused

_WEIGHTS = "model.safetensors"

#: `train-00000-of-00004.parquet`, as the `datasets` library writes shards.
_SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}")
#: The words by which the `datasets` library tells a split from a file's name, and ours for it.
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}

#: Of each split its files, as paths.
Splits = dict[str, list[str]]


def model_files(names: Iterable[str]) -> list[str]:
    """The files of a model: those that an upload could have, without weights that are there a second time.

    Raises:
        SourceRefused: There are no weights among them.
    """
    names = sorted(names)
    taken = [name for name in names if why_refused(name) is None]
    weights = [name for name in taken if name.endswith(".safetensors")]
    if not weights:
        others = [name for name in names if "/" not in name and not name.startswith(".")]
        there = f" It has: {', '.join(others[:20])}." if others else ""
        raise SourceRefused(
            f"it has no *.safetensors, and other weights can run code when they are loaded.{there} Convert them with "
            "model.save_pretrained(folder, safe_serialization=True) and upload the folder."
        )
    if INDEX in taken:
        return [name for name in taken if name != _WEIGHTS]
    if _WEIGHTS in weights:
        return [name for name in taken if name not in weights or name == _WEIGHTS]
    return taken


def split_files(names: Iterable[str], card: Mapping[str, object] | None, config: str | None) -> Splits:
    """The files of each split of a dataset's repository.

    Args:
        names: all its files.
        card: the metadata at the head of its README.md, whose `configs` say what is what.
        config: the one that is wanted, where there are several.

    Raises:
        SourceRefused: It cannot be told, or there are none that we can read.
    """
    readable = sorted(name for name in names if _is_data(name))
    configs = _configs(card)
    if configs:
        chosen = configs[_chosen(configs, config)]
        readable = [name for name in readable if name.startswith(_folder(chosen.get("data_dir")))]
        splits = _by_patterns(readable, chosen["data_files"]) if "data_files" in chosen else _by_name(readable)
    elif config is None:
        splits = _by_name(readable)
    else:
        splits = _by_name([name for name in readable if name.startswith(f"{config}/")])
        if not splits:
            raise SourceRefused(f"it has no config {config!r}. Leave ?config= out, or name one that it has.")
    if not splits:
        known = ", ".join(f".{extension}" for extension in FORMATS)
        raise SourceRefused(f"it has no files that can be read here ({known}). Convert them and upload those.")
    return splits


def folder_splits(names: Iterable[str]) -> Splits:
    """The files of each split of a folder: each is called like its split, or has shards."""
    splits: Splits = {}
    for name in sorted(name for name in names if _is_data(name)):
        stem = PurePosixPath(name).stem
        shard = _SHARD.fullmatch(stem)
        splits.setdefault(shard["split"] if shard else stem, []).append(name)
    return splits


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower().removeprefix(".") in FORMATS and not any(part.startswith(".") for part in path.parts)


def _configs(card: Mapping[str, object] | None) -> dict[str, Mapping[str, object]]:
    listed = (card or {}).get("configs")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return {str(entry.get("config_name", "default")): cast(Mapping[str, object], entry) for entry in entries}


def _chosen(configs: Mapping[str, Mapping[str, object]], config: str | None) -> str:
    if config is not None:
        if config not in configs:
            raise SourceRefused(f"it has no config {config!r}; it has {', '.join(sorted(configs))}.")
        return config
    default = [name for name, entry in configs.items() if entry.get("default") is True]
    if len(configs) > 1 and not default and "default" not in configs:
        raise SourceRefused(f"it has several configs. Add ?config= and one of them: {', '.join(sorted(configs))}.")
    return (default or ["default" if "default" in configs else next(iter(configs))])[0]


def _folder(data_dir: object) -> str:
    return f"{str(data_dir).strip('/')}/" if data_dir else ""


def _by_patterns(names: Sequence[str], data_files: object) -> Splits:
    """As `data_files` of a config: one pattern, several, or a list of `split` and `path`."""
    listed = data_files if isinstance(data_files, list) else [data_files]
    splits: Splits = {}
    for entry in listed:
        split, paths = ("train", entry) if not isinstance(entry, Mapping) else (entry.get("split"), entry.get("path"))
        for pattern in paths if isinstance(paths, list) else [paths]:
            found = [name for name in names if fnmatchcase(name, str(pattern).removeprefix("./"))]
            splits.setdefault(str(split), []).extend(name for name in found if name not in splits[str(split)])
    return {split: files for split, files in splits.items() if files}


def _by_name(names: Sequence[str]) -> Splits:
    """As their names tell; where none does, all are for training."""
    splits: Splits = {}
    for name in names:
        if split := _split_in(name):
            splits.setdefault(split, []).append(name)
    return splits or ({"train": list(names)} if names else {})


def _split_in(name: str) -> str | None:
    """The split that a path tells, in its file's name or else in a folder's."""
    path = PurePosixPath(name)
    if shard := _SHARD.fullmatch(path.stem):
        return shard["split"]
    for part in (path.stem, *reversed(path.parent.parts)):
        for word in re.split(r"[^a-z0-9]+|(?<=[a-z])(?=\d)", part.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return None
