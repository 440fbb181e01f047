"""Sending one request: what is tried again and what is given up."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import IO

import httpx

from secateur.address import Address
from secateur.answers import problem_of
from secateur.errors import ServiceUnavailable, ServiceUnreachable
from secateur.version import __version__

TRIES = 4
FIRST_PAUSE_S = 0.25
# A service that asks for a longer pause gets this one, so that a command never seems to hang.
LONGEST_PAUSE_S = 30.0

#: The type of the problem of a submit whose model or dataset is still on its way to the service.
FETCHING = "urn:secateur:problem:fetching"

#: Query parameters; those that are None are left out, and lists given once for each of their items.
Params = Mapping[str, str | int | bool | Sequence[str] | None]
#: Multipart fields: (field name, (file name, open file, media type)).
Files = list[tuple[str, tuple[str, IO[bytes], str]]]


class Again(Enum):
    """When a request may be sent a second time. Where it never reached the service, it always may."""

    IF_NOT_SENT = auto()
    ALWAYS = auto()


class Transport:
    """One pooled connection to the service, with the retries that are safe."""

    def __init__(self, address: Address, timeout: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self.address = address
        self.timeout = timeout
        self._sleep = sleep
        headers = {"Accept": "application/json", "User-Agent": f"secateur/{__version__}"}
        if address.key:
            headers["Authorization"] = f"Bearer {address.key}"
        self._http = httpx.Client(
            base_url=address.url,
            headers=headers,
            timeout=timeout,
            # A proxy from the environment is for the world outside, never for the service on this machine.
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        again: Again,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        passing: tuple[int, ...] = (),
    ) -> httpx.Response:
        """Send a request and return its answer, trying again where that is safe.

        Args:
            method: The HTTP method.
            path: The path below the service's address.
            again: When the request may be repeated.
            params: Query parameters.
            headers: Further headers.
            json: The body.
            passing: Error statuses to return instead of raising.

        Raises:
            ApiProblem: The service refused.
            ServiceUnreachable: No answer came.
            UnexpectedAnswer: The answer is not one of Secateur's.
        """

        def once() -> httpx.Response:
            return self._http.request(method, path, params=_given(params), headers=headers, json=json)

        return self._repeat(once, again, passing)

    def upload(
        self, path: str, data: Mapping[str, str | list[str]], open_files: Callable[[], Files], timeout: float
    ) -> httpx.Response:
        """POST files as multipart, streamed from disk.

        Args:
            path: The path below the service's address.
            data: The plain fields, with their value or values.
            open_files: Opens the files anew for each try; they are closed here.
            timeout: Seconds without any progress before giving up; validating a large file takes a while.
        """

        def once() -> httpx.Response:
            files = open_files()
            # Not as `data`: without any file the form would be of another type.
            fields = [(name, (None, each)) for name, value in data.items() for each in _listed(value)]
            try:
                return self._http.post(path, files=[*fields, *files], timeout=timeout)
            finally:
                for _, (_, file, _) in files:
                    file.close()

        return self._repeat(once, Again.IF_NOT_SENT, ())

    def patch(self, path: str, headers: Mapping[str, str], body: Iterator[bytes], timeout: float) -> None:
        """PATCH bytes as they come; a single try, because the service knows how much it already has.

        Args:
            path: The path below the service's address.
            headers: Further headers.
            body: The bytes.
            timeout: Seconds without any progress before giving up.
        """
        given = {"Content-Type": "application/offset+octet-stream", **headers}
        try:
            response = self._http.patch(path, headers=given, content=body, timeout=timeout)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 300:
            raise problem_of(response)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], timeout: float | None = None) -> Generator[httpx.Response]:
        """GET a body piece by piece; a single try, because the caller knows how much it already has.

        Args:
            path: The path below the service's address.
            headers: Further headers.
            timeout: Seconds without any progress before giving up; default: those of every request.
        """
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout or self.timeout) as response:
                if response.status_code >= 400:
                    response.read()
                    raise problem_of(response)
                yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _repeat(self, once: Callable[[], httpx.Response], again: Again, passing: tuple[int, ...]) -> httpx.Response:
        tried = 0
        while True:
            tried += 1
            try:
                response = once()
            except httpx.TransportError as error:
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if tried == TRIES or not (never_sent or again is Again.ALWAYS):
                    raise self._unreachable(error) from error
                retry_after_s = None
            else:
                if response.status_code < 300 or response.status_code in (304, *passing):
                    return response
                problem = problem_of(response)
                if isinstance(problem, ServiceUnavailable) and problem.type == FETCHING:
                    tried = 0  # the service is at work on it, and says so when that fails
                elif tried == TRIES or not isinstance(problem, ServiceUnavailable):
                    raise problem
                retry_after_s = problem.retry_after_s
            self.pause(max(tried, 1), retry_after_s)

    def pause(self, tried: int, retry_after_s: float | None) -> None:
        """Wait before the next try: as long as the service asks, else twice as long as the time before."""
        wait = FIRST_PAUSE_S * 2 ** (tried - 1) if retry_after_s is None else retry_after_s
        self._sleep(min(wait, LONGEST_PAUSE_S))

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        where = f"{self.address.url} (from {self.address.origin})"
        if isinstance(error, httpx.ConnectError):
            return ServiceUnreachable(
                f"No service answers at {where}: {str(error) or 'the connection was refused'}. "
                "Start one with `secateur up`, or check the address."
            )
        if isinstance(error, httpx.TimeoutException):
            return ServiceUnreachable(f"The service at {where} did not answer in time. Try again, or look at its logs.")
        return ServiceUnreachable(f"The connection to {where} broke ({str(error) or type(error).__name__}). Try again.")


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _given(params: Params | None) -> dict[str, str | int | bool | Sequence[str]]:
    return {name: value for name, value in (params or {}).items() if value is not None}
