"""Who is calling: bearer keys, their teams and scopes."""

from typing import Annotated, Literal

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from api.audit.trail import will_be_audited
from api.dependencies import Services, services_of
from api.problems import ScopeMissing, Unauthenticated
from store.keys import Principal

Scope = Literal["read", "submit", "admin"]

_CALLER = "caller"


async def caller(request: Request) -> Principal:
    """The team and scopes behind the request's key, which is counted once however often it is asked for.

    Raises:
        Unauthenticated: There is no key, or it is mistyped, unknown, expired or revoked; which of them is not told.
        RateLimited: It asks more often than it may, or too many without a good key come from its address.
    """
    if isinstance(known := getattr(request.state, _CALLER, None), Principal):
        return known
    here = services_of(request)
    scheme, text = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not text:
        raise await _refusal(here, request, "Send your key in the header `Authorization: Bearer sec_…`.")
    if here.rates is not None and not here.keyring.has_met(text):
        await here.rates.admit(request)
    principal = await here.keyring.principal(text)
    if principal is None:
        raise await _refusal(
            here,
            request,
            "This key is not valid: mistyped, unknown, expired or revoked. Check that it was copied whole, or ask an "
            "administrator for a new one.",
        )
    if here.rates is not None:
        await here.rates.spend(request, principal.key_id)
    setattr(request.state, _CALLER, principal)
    return principal


async def _refusal(here: Services, request: Request, detail: str) -> Unauthenticated:
    if here.rates is not None:
        await here.rates.refused(request)
    return Unauthenticated(detail)


class _Needs(SecurityBase):
    """A dependency that lets callers with a scope through; `admin` has every scope.

    One dependency, and not one on another: FastAPI takes as long to solve one as the whole check takes.
    """

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(
            description="An API key, `sec_…`. Its scopes: `read` (every GET), `submit` (create, and all that is asked "
            "of jobs) and `admin` (everything). Each operation names the one it needs."
        )
        self.scheme_name = "HTTPBearer"
        self._scope = scope
        self._enough = {scope, "admin"}

    async def __call__(self, request: Request) -> Principal:
        """Who calls.

        Raises:
            Unauthenticated: Nobody that we know.
            RateLimited: Somebody who asks more often than allowed.
            ScopeMissing: Somebody whose key may not do this.
        """
        principal = await caller(request)
        if self._scope != "read":
            will_be_audited(request, principal)
        if self._enough.isdisjoint(principal.scopes):
            held = ", ".join(sorted(principal.scopes)) or "none"
            raise ScopeMissing(f"This needs a key with scope '{self._scope}'; yours has: {held}.")
        return principal


# The scopes that `Security` is given are those that /openapi.json shows.
reader = _Needs("read")
Reader = Annotated[Principal, Security(reader, scopes=["read"])]
submitter = _Needs("submit")
Submitter = Annotated[Principal, Security(submitter, scopes=["submit"])]
Admin = Annotated[Principal, Security(_Needs("admin"), scopes=["admin"])]
