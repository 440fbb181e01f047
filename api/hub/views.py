"""Repositories as the hub's API shows them; the field names are the hub's."""

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.hub.refusals import EntryNotFound
from api.hub.repositories import File, Kind, Repository


class _View(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class LfsView(_View):
    """How large a file is and what its content is called."""

    oid: str = Field(description="The sha256.")
    size: int
    pointer_size: int = Field(description="Bytes of the pointer that git would hold.")


class SiblingView(_View):
    """A file of a repository."""

    rfilename: str = Field(description="Its path.")
    size: int | None = Field(default=None, description="Only with `blobs`.")
    blob_id: str | None = Field(default=None, description="Only with `blobs`.")
    lfs: dict[str, str | int] | None = Field(default=None, description="Only with `blobs`: `sha256` and `size`.")


class RepositoryView(_View):
    """A repository."""

    id: str
    author: str = Field(description="The namespace.")
    sha: str = Field(description="The commit of the only revision.")
    created_at: str
    last_modified: str
    private: Literal[True] = True
    gated: Literal[False] = False
    disabled: Literal[False] = False
    tags: list[str]
    siblings: list[SiblingView]


class TreeEntryView(_View):
    """A file or a folder of a repository."""

    type: Literal["file", "directory"]
    path: str
    size: int
    oid: str
    lfs: LfsView | None = Field(default=None, description="Of files.")


def repository_view(repository: Repository, *, blobs: bool) -> RepositoryView:
    """Show a repository; `blobs` adds what each file is."""
    at = repository.created_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")  # the one form that the client parses
    return RepositoryView(
        id=repository.id,
        author=repository.id.partition("/")[0],
        sha=repository.commit,
        created_at=at,
        last_modified=at,
        tags=["transformers", "safetensors"] if repository.kind is Kind.MODELS else ["parquet"],
        siblings=[_sibling(file, blobs=blobs) for file in repository.files.values()],
    )


def _sibling(file: File, *, blobs: bool) -> SiblingView:
    if not blobs:
        return SiblingView(rfilename=file.name)
    lfs: dict[str, str | int] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(_pointer(file))}
    return SiblingView(rfilename=file.name, size=file.size, blob_id=_git_oid(_pointer(file)), lfs=lfs)


def tree_view(repository: Repository, folder: str, *, recursive: bool) -> list[TreeEntryView]:
    """List a folder, with all below it if it is to be `recursive`.

    Raises:
        EntryNotFound: There is no such folder.
    """
    top = PurePosixPath(folder)
    below = {path: entry for path, entry in _entries(repository).items() if top in path.parents}
    if folder and not below:
        raise EntryNotFound(
            f"{repository.id} has no folder {folder[:200]!r}.", headers={"X-Repo-Commit": repository.commit}
        )
    return [entry for path, entry in below.items() if recursive or path.parent == top]


def paths_view(repository: Repository, paths: Sequence[str]) -> list[TreeEntryView]:
    """Show those of some paths that there are."""
    entries = _entries(repository)
    return [entries[path] for path in dict.fromkeys(map(PurePosixPath, paths)) if path in entries]


def _entries(repository: Repository) -> dict[PurePosixPath, TreeEntryView]:
    """All files, each after the folders that it is in."""
    entries: dict[PurePosixPath, TreeEntryView] = {}
    for file in repository.files.values():
        path = PurePosixPath(file.name)
        for folder in list(path.parents)[-2::-1]:
            # Not git's: it would be the same as long as the folder is, and so is this.
            oid = hashlib.sha1(f"{repository.commit}/{folder}".encode(), usedforsecurity=False).hexdigest()
            entries[folder] = TreeEntryView(type="directory", path=str(folder), size=0, oid=oid)
        pointer = _pointer(file)
        lfs = LfsView(oid=file.sha256, size=file.size, pointer_size=len(pointer))
        entries[path] = TreeEntryView(type="file", path=file.name, size=file.size, oid=_git_oid(pointer), lfs=lfs)
    return entries


def _pointer(file: File) -> bytes:
    """What git holds of a file that Git LFS keeps (its specification, v1); all of ours count as such."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n".encode()


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
