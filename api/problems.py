"""Every refusal of the service, as one tree, and how each becomes `application/problem+json` (RFC 9457).

Problem
├── MalformedRequest        400  the request cannot be read at all
├── Unauthenticated         401  no key, or not one of ours
├── ScopeMissing            403  the key may not do this
├── Missing                 404  no such thing, or another team's
├── MethodNotAllowed        405  the address is right, and cannot be used so
├── TooSlow                 408  the body does not come
├── StateForbids            409  the thing is in a state that does not allow it
├── Expired                 410  it was here, and retention has removed it
├── PreconditionFailed      412  the request is of another version of a protocol
├── TooLarge                413  the upload is over the limit
├── WrongMediaType          415  the body is of another type
├── RangeNotSatisfiable     416  no byte of the file is in the range
├── Invalid                 422  readable, but wrong: names each field and what to do
├── LimitReached            429  the team has as much of something as it may
├── RateLimited             429  the key asks too often, or an address without a good one
└── Unavailable             503  try again soon
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"

#: So many wrong fields are told at once: nobody reads more.
MOST_TOLD = 100


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: where (a JSON Pointer, RFC 6901) and what to do about it."""

    pointer: str
    detail: str


def pointer(*path: str | int) -> str:
    """A JSON Pointer from the names on the way."""
    return "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in path)


class Problem(Exception):
    """A refusal with everything that its answer says."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "The service failed"

    def __init__(
        self, detail: str, *, errors: Iterable[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


class MalformedRequest(Problem):
    """The request cannot be read at all."""

    status = HTTPStatus.BAD_REQUEST
    slug = "malformed-request"
    title = "The request cannot be read"


class Unauthenticated(Problem):
    """The request carries no key that we know."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "unauthenticated"
    title = "A valid key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="secateur"'})


class ScopeMissing(Problem):
    """The key is good, and may not do this."""

    status = HTTPStatus.FORBIDDEN
    slug = "scope-missing"
    title = "The key may not do this"


class Missing(Problem):
    """There is no such thing, or it belongs to another team."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"
    title = "Not found"


class MethodNotAllowed(Problem):
    """There is something at the address, and the method does not go with it."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    slug = "method-not-allowed"
    title = "Not possible at this address"

    def __init__(self, detail: str, *, allowed: str) -> None:
        super().__init__(detail, headers={"Allow": allowed})


class TooSlow(Problem):
    """The body comes more slowly than anybody sends."""

    status = HTTPStatus.REQUEST_TIMEOUT
    slug = "too-slow"
    title = "The body came too slowly"


class StateForbids(Problem):
    """What was asked does not fit the state of things."""

    status = HTTPStatus.CONFLICT
    slug = "state-forbids"
    title = "The current state does not allow this"


class Expired(Problem):
    """What was asked for was here, and retention has removed it."""

    status = HTTPStatus.GONE
    slug = "expired"
    title = "Removed by the retention policy"


class PreconditionFailed(Problem):
    """The request is of another version of a protocol."""

    status = HTTPStatus.PRECONDITION_FAILED
    slug = "precondition-failed"
    title = "The request is of another version"


class TooLarge(Problem):
    """The body is over the limit."""

    status = HTTPStatus(413)
    slug = "too-large"
    title = "The request is too large"


class WrongMediaType(Problem):
    """The body is of a type that this route does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "wrong-media-type"
    title = "The body's media type is not accepted here"


class RangeNotSatisfiable(Problem):
    """The Range header asks for no byte that the file has."""

    status = HTTPStatus(416)
    slug = "range-not-satisfiable"
    title = "The range lies outside the file"


class Invalid(Problem):
    """The request is readable and wrong; `errors` names each field and its remedy."""

    status = HTTPStatus(422)
    slug = "invalid"
    title = "The request is not valid"

    def __init__(self, errors: Iterable[FieldError], *, what: str = "The request") -> None:
        found = tuple(errors)
        if len(found) == 1:
            summary = found[0].detail
        elif len(found) <= MOST_TOLD:
            summary = f"{what} has {len(found)} problems; `errors` lists them."
        else:
            summary = f"{what} has more than {MOST_TOLD} problems; `errors` lists the first."
        super().__init__(summary, errors=found[:MOST_TOLD])


class LimitReached(Problem):
    """The team has as much of something as it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "limit-reached"
    title = "The team's limit is reached"


class RateLimited(Problem):
    """The key, or an address without one, asks more often than it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "rate-limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class Unavailable(Problem):
    """Something we need is away for the moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "unavailable"
    title = "The service is not available right now"

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class FieldErrorDocument(BaseModel):
    """One wrong field."""

    pointer: str = Field(description="JSON Pointer to the field; `/query/…` for a query parameter.")
    detail: str = Field(description="What is wrong and what to do.")


class ProblemDocument(BaseModel):
    """An error answer, RFC 9457."""

    type: str = Field(description="Stable name of the kind of problem.", examples=["urn:secateur:problem:invalid"])
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong this time, and what to do.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str | None = Field(default=None, description="Find this request in the service's log.")
    errors: list[FieldErrorDocument] | None = Field(default=None, description="Each wrong field, where there are any.")


#: Where the stable names of problems live.
TYPE_PREFIX = "urn:secateur:problem:"


def document(problem: Problem, *, instance: str, request_id: str | None) -> ProblemDocument:
    """The answer's body."""
    return ProblemDocument(
        type=TYPE_PREFIX + problem.slug,
        title=problem.title,
        status=int(problem.status),
        detail=problem.detail,
        instance=instance,
        request_id=request_id,
        errors=[FieldErrorDocument(pointer=e.pointer, detail=e.detail) for e in problem.errors] or None,
    )
