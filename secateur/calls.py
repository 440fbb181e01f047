"""What every call of `secateur.Client` goes through: the service's address, its key, its pages."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from secateur import address
from secateur.answers import list_of, object_of
from secateur.errors import NotConfigured
from secateur.transport import Again, Params, Transport

PAGE_SIZE = 100


def path_to(kind: str, id_: str, *below: str) -> str:
    """The path of one thing, or of something below it; whatever the id is, it stays one segment."""
    return "/".join([f"/v1/{kind}", quote(id_, safe=""), *below])


class Calls:
    """A way to one service."""

    def __init__(self, base_url: str | None = None, key: str | None = None, timeout: float = 30.0) -> None:
        """Find the service; nothing is sent yet.

        Args:
            base_url: Its address; else `SECATEUR_URL`, else that of the `secateur up` on this machine.
            key: The bearer key; else `SECATEUR_KEY`, else, for the `secateur up` on this machine, its admin key.
            timeout: Seconds without any progress before a request is given up.

        Raises:
            NotConfigured: There is no address, or the address or key is malformed.
        """
        self._address = address.find(base_url, key)
        self._transport = Transport(self._address, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address.url!r})"

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self._address.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def _service(self) -> Transport:
        """The way to everything that needs a key."""
        if self._address.key is None:
            raise NotConfigured(
                f"There is no key for {self._address.url}. Give one with --key or SECATEUR_KEY; "
                "whoever runs the service hands them out."
            )
        return self._transport

    def _get(self, path: str, params: Params | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self._service.send("GET", path, again=Again.ALWAYS, params=params, headers=headers)

    def _pages(self, path: str, params: Params) -> Iterator[object]:
        cursor: object = None
        while True:
            response = self._get(path, {**params, "cursor": cursor if isinstance(cursor, str) else None})
            yield from list_of(response)
            cursor = object_of(response).get("next_cursor")
            if not cursor:
                return
