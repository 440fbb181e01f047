"""Reads repositories of the Hugging Face Hub, through its own client; whatever it calls is one of the allowed hosts.

`huggingface_hub` is imported when the first source is asked for: it is slow to load, and most processes never need it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from api.problems import Unavailable
from api.sources.problems import SourceRefused
from api.sources.uris import HubSource, Kind
from store import Settings

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)

#: How long the hub may take to say what is in a repository.
_PATIENCE_S = 10.0

#: Whether a host may be called by whoever asks; those that are not us have no limits.
_may_call: ContextVar[Callable[[str], bool]] = ContextVar("may_call", default=bool)


@dataclass(frozen=True)
class Listing:
    """What a repository has at one commit.

    Attributes:
        source: the repository at that commit.
        sizes: of every file; unknown ones are 0.
    """

    source: HubSource
    sizes: Mapping[str, int]


class Hub:
    """The hub that the settings name."""

    def __init__(self, settings: Settings, kind: Kind) -> None:
        self._settings = settings
        self._kind = kind
        # False and not None: the client would look for a token of whoever started us.
        self._token = settings.hub_token.get_secret_value() if settings.hub_token else False

    def require_allowed(self, source: HubSource) -> None:
        """Return if the operator lets this repository be used.

        Raises:
            SourceRefused: They do not.
        """
        if not _matches(source.repository, self._settings.hub_allow):
            raise SourceRefused(
                "this service takes only some repositories of the hub, and this is none of them. Upload it, or ask the "
                "operator to add it to SECATEUR_HUB_ALLOW."
            )

    def look(self, source: HubSource) -> Listing:
        """Find the commit of a revision, and what it has.

        Raises:
            SourceRefused: There is no such repository or revision, or we may not read it.
            Unavailable: The hub does not answer.
        """
        with self._asking(source):
            from huggingface_hub import HfApi

            api = HfApi(endpoint=self._settings.hub_endpoint, token=self._token)
            if self._is_offline():
                commit = api.resolve_revision(
                    source.repository,
                    repo_type=self._kind,
                    revision=source.revision,
                    cache_dir=self._settings.hub_cache_dir,
                    local_files_only=True,
                ).resolved
                return Listing(source.at(commit), self._cached(source, commit))
            look = api.model_info if self._kind is Kind.MODEL else api.dataset_info
            found = look(source.repository, revision=source.revision, files_metadata=True, timeout=_PATIENCE_S)
            if found.sha is None:
                raise SourceRefused(
                    "the hub names no commit of it. Ask the operator whether SECATEUR_HUB_ENDPOINT is a hub."
                )
            self._remember(source, found.sha)
            return Listing(source.at(found.sha), {file.rfilename: file.size or 0 for file in found.siblings or []})

    def fetch(self, source: HubSource, name: str) -> Path:
        """A file of a repository at a commit, in the cache.

        Raises:
            SourceRefused: We may not read it, or it is not there.
            Unavailable: The hub does not answer.
        """
        with self._asking(source):
            from huggingface_hub import hf_hub_download

            return Path(
                hf_hub_download(
                    source.repository,
                    name,
                    repo_type=self._kind,
                    revision=source.revision,
                    cache_dir=self._settings.hub_cache_dir,
                    endpoint=self._settings.hub_endpoint,
                    token=self._token,
                    local_files_only=self._is_offline(),
                )
            )

    def card(self, source: HubSource, name: str) -> Mapping[str, object] | None:
        """The metadata at the head of a repository's README.

        Raises:
            SourceRefused: It cannot be read.
            Unavailable: The hub does not answer.
        """
        from huggingface_hub import metadata_load
        from yaml import YAMLError

        path = self.fetch(source, name)
        try:
            return metadata_load(path)
        except (YAMLError, ValueError, RecursionError) as error:
            raise SourceRefused(f"the metadata of its {name} cannot be read. Upload the files themselves.") from error

    def _is_offline(self) -> bool:
        from huggingface_hub import constants

        return self._settings.hub_offline or constants.is_offline_mode()

    def _folder(self, source: HubSource) -> Path:
        """Where a repository is in the cache."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        top = Path(self._settings.hub_cache_dir or constants.HF_HUB_CACHE)
        return top / repo_folder_name(repo_id=source.repository, repo_type=self._kind)

    def _remember(self, source: HubSource, commit: str) -> None:
        """Note in the cache which commit a revision is, for when we are offline; files are fetched by commit."""
        from huggingface_hub.file_download import _cache_commit_hash_for_specific_revision

        _cache_commit_hash_for_specific_revision(str(self._folder(source)), source.revision, commit)

    def _cached(self, source: HubSource, commit: str) -> dict[str, int]:
        """The files of a commit in the cache."""
        folder = self._folder(source) / "snapshots" / commit
        # is_file() follows links on purpose: the cache's snapshots are folders of links.
        return {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}

    def _may_call(self, host: str) -> bool:
        own = urlsplit(self._settings.hub_endpoint).hostname
        return host == own or _matches(host, self._settings.hub_hosts)

    def _away(self, source: HubSource, error: Exception) -> Unavailable:
        where = self._settings.hub_endpoint
        # The client's own words hold addresses and ids of the hub's: into the log.
        log.warning("hub_away", endpoint=where, kind=type(error).__name__, error=str(error).partition("\n")[0][:300])
        return Unavailable(
            f"The {self._kind} {source.repository!r} is looked for on the hub at {where}, which does not answer as it "
            "should. Try again in a moment; if it stays, download the files and upload them: what is uploaded is named "
            "by its upload:// address."
        )

    @contextmanager
    def _asking(self, source: HubSource) -> Iterator[None]:
        """Say in our words what goes wrong with the hub."""
        _prepare()
        from httpx2 import HTTPError
        from huggingface_hub import errors

        where = self._settings.hub_endpoint
        what = f"{source.repository} on {where}"
        token = _may_call.set(self._may_call)
        try:
            yield
        except errors.GatedRepoError as error:
            raise SourceRefused(
                f"{what} is gated. The operator accepts its terms there and sets SECATEUR_HUB_TOKEN to a token of that "
                "account; or upload it."
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise SourceRefused(
                f"there is no {self._kind} {what}, or it is private and the service's token (SECATEUR_HUB_TOKEN) may "
                "not read it. Check its name."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise SourceRefused(
                f"{what} has no revision {source.revision!r}. Name a branch, a tag or a whole commit after the @."
            ) from error
        except (errors.RevisionResolutionError, errors.LocalEntryNotFoundError) as error:
            if not self._is_offline():
                raise self._away(source, error) from error
            raise SourceRefused(
                f"the service is offline (SECATEUR_HUB_OFFLINE), and its cache has not got {what} at "
                f"{source.revision!r}. Upload it."
            ) from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise SourceRefused(
                    f"{where} refuses the service's token. The operator sets SECATEUR_HUB_TOKEN to one that may read "
                    f"{source.repository}; or upload it."
                ) from error
            if status == 404:
                raise SourceRefused(f"{what} lacks a file that it should have. Name another revision.") from error
            raise self._away(source, error) from error
        except (HTTPError, OSError) as error:
            raise self._away(source, error) from error
        finally:
            _may_call.reset(token)


def _matches(text: str, patterns: str) -> bool:
    return any(fnmatchcase(text, pattern.strip()) for pattern in patterns.split(",") if pattern.strip())


@cache
def _prepare() -> None:
    """Let the hub's client call nobody but those whom `_may_call` allows."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def check(request: "httpx2.Request") -> None:
        if not _may_call.get()(request.url.host):
            raise SourceRefused(
                f"the hub leads to {request.url.host}, which this service does not call. The operator adds it to "
                "SECATEUR_HUB_HOSTS; or upload the files."
            )

    def client() -> "httpx2.Client":
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], check]}
        return made

    constants.HF_HUB_DISABLE_XET = True  # it has connections of its own, which nobody checks
    set_client_factory(client)
