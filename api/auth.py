"""Who is calling: bearer keys, their teams and scopes."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.audit.trail import will_be_audited
from api.dependencies import Here
from api.problems import ScopeMissing, Unauthenticated
from store.keys import Principal

Scope = Literal["read", "submit", "admin"]

_bearer = HTTPBearer(
    auto_error=False,
    description="An API key, `sec_…`. Its scopes: `read` (every GET), `submit` (create, and all that is asked of jobs) "
    "and `admin` (everything). Each operation names the one it needs.",
)


async def caller(request: Request, here: Here) -> Principal:
    """The team and scopes behind the request's key.

    Raises:
        Unauthenticated: There is no key, or it is mistyped, unknown, expired or revoked; which of them is not told.
        RateLimited: It asks more often than it may.
    """
    # Not as a dependency: FastAPI would run this once for each scope that a request asks for, and count it as often.
    credentials = await _bearer(request)
    if credentials is None or not credentials.credentials:
        raise Unauthenticated("Send your key in the header `Authorization: Bearer sec_…`.")
    principal = await here.keyring.principal(credentials.credentials)
    if principal is None:
        raise Unauthenticated(
            "This key is not valid: mistyped, unknown, expired or revoked. Check that it was copied whole, or ask an "
            "administrator for a new one."
        )
    if here.rates is not None:
        await here.rates.spend(request, principal.key_id)
    return principal


def needs(scope: Scope) -> Callable[[Request, Principal, object], Awaitable[Principal]]:
    """A dependency that lets callers with a scope through; `admin` has every scope."""

    async def check(
        request: Request, principal: Annotated[Principal, Depends(caller)], _: Annotated[object, Depends(_bearer)]
    ) -> Principal:
        if scope != "read":
            will_be_audited(request, principal)
        if not {scope, "admin"} & set(principal.scopes):
            held = ", ".join(sorted(principal.scopes)) or "none"
            raise ScopeMissing(f"This needs a key with scope '{scope}'; yours has: {held}.")
        return principal

    return check


# The scopes that `Security` is given are those that /openapi.json shows.
Reader = Annotated[Principal, Security(needs("read"), scopes=["read"])]
Submitter = Annotated[Principal, Security(needs("submit"), scopes=["submit"])]
Admin = Annotated[Principal, Security(needs("admin"), scopes=["admin"])]
