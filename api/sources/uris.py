"""What a spec may give as model, dataset or teacher: `upload://…`, `hf://…` (or a bare id), `file://…`."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

_UPLOAD = re.compile(r"upload://((mdl|ds)_[0-9a-f]{32})")
_BARE_ID = re.compile(r"(mdl|ds)_[0-9a-f]{32}")
#: As huggingface_hub's `validate_repo_id` has it.
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,127}", re.ASCII)
_CONFIG = re.compile(r"[\w.+-]{1,128}")
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})")


class Kind(StrEnum):
    """What is named."""

    MODEL = "model"
    DATASET = "dataset"

    @property
    def prefix(self) -> str:
        """How ids of uploads of this kind begin."""
        return "mdl" if self is Kind.MODEL else "ds"


class BadUri(ValueError):
    """A URI cannot be understood; the message says what to write."""


@dataclass(frozen=True)
class Upload:
    """Something in the team's own store."""

    id: str


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face Hub.

    Attributes:
        repository: its id, `namespace/name`, or only `name` for the oldest.
        revision: branch, tag or commit.
        config: of a dataset that has several.
    """

    repository: str
    revision: str = "main"
    config: str | None = None

    def at(self, revision: str) -> Self:
        """The same at another revision."""
        return type(self)(self.repository, revision, self.config)

    def __str__(self) -> str:
        config = "" if self.config is None else "?" + urlencode({"config": self.config})
        return f"hf://{self.repository}@{self.revision}{config}"


@dataclass(frozen=True)
class FileSource:
    """A folder, or a dataset's file, below one of the roots.

    Attributes:
        path: from the root.
        sha256: of all its files; None as long as nobody has looked.
    """

    path: str
    sha256: str | None = None

    def of(self, sha256: str) -> Self:
        """The same with exactly this content."""
        return type(self)(self.path, sha256)

    def __str__(self) -> str:
        return f"file://{quote(self.path)}" + ("" if self.sha256 is None else f"#sha256={self.sha256}")


External = HubSource | FileSource


def parse(kind: Kind, uri: str) -> Upload | External:
    """Understand what a spec names.

    Raises:
        BadUri: It is none of ours.
    """
    scheme, found, rest = uri.partition("://")
    if not found:
        if _BARE_ID.fullmatch(uri):
            raise BadUri(f"write upload://{uri}")
        return _hub(kind, uri)
    match scheme:
        case "upload":
            return _upload(kind, uri)
        case "hf":
            return _hub(kind, rest)
        case "file":
            return _file(rest)
        case _:
            raise BadUri("use upload://…, hf://… or file://…")


def _upload(kind: Kind, uri: str) -> Upload:
    found = _UPLOAD.fullmatch(uri)
    route = f"POST /v1/{kind}s"
    if found is None:
        raise BadUri(f"an upload is named upload://{kind.prefix}_… with the id that {route} answered")
    if found[2] != kind.prefix:
        other = Kind.MODEL if kind is Kind.DATASET else Kind.DATASET
        raise BadUri(f"{found[1]} is a {other}, not a {kind}")
    return Upload(found[1])


def _hub(kind: Kind, rest: str) -> HubSource:
    rest, asks, query = rest.partition("?")
    rest = rest.removeprefix("datasets/") if kind is Kind.DATASET and rest.count("/") > 1 else rest
    repository, _, revision = rest.partition("@")
    if not _REPOSITORY.fullmatch(repository) or (revision and not _REVISION.fullmatch(revision)) or rest[-1:] == "@":
        raise BadUri("a repository of the hub is named hf://namespace/name or hf://namespace/name@revision")
    config = None
    if asks:
        asked = parse_qsl(query)
        if kind is Kind.MODEL or len(asked) != 1 or asked[0][0] != "config" or not _CONFIG.fullmatch(asked[0][1]):
            raise BadUri("only a dataset takes a parameter, and only one: ?config=name")
        config = asked[0][1]
    return HubSource(repository, revision or "main", config)


def _file(rest: str) -> FileSource:
    path, _, fragment = rest.partition("#")
    path = unquote(path)
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or not path.isprintable() or {"", ".", ".."} & set(parts):
        raise BadUri("a path is relative to one of the service's roots, like file://models/bert, without .. in it")
    pinned = _SHA256.fullmatch(fragment)
    if fragment and pinned is None:
        raise BadUri("what follows # is sha256= and 64 hexadecimal digits, as in the spec of an earlier job")
    return FileSource(path, pinned[1] if pinned else None)
