"""Connections to where teams want their messages: to addresses that were checked, and never longer than a deadline.

A network backend of httpcore, below its TLS and its HTTP: the certificate and the Host header are still the name's.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from store import Allowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[Address]]


class AddressRefused(Exception):
    """A host has an address that no message may go to."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Not sent: {host} has an address that is not public. Use a public one, or ask the operator to add it to "
            "SECATEUR_WEBHOOK_ALLOW."
        )


class Deadline:
    """When a request must be over, whatever it is doing: timeouts of single reads would let it drip for ever."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, over: type[httpcore.TimeoutException]) -> float:
        """Seconds that are left.

        Raises:
            TimeoutException: None is.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise over
        return seconds


def addresses_of(host: str, port: int) -> Sequence[Address]:
    """What a host resolves to.

    Raises:
        ConnectError: To nothing.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the host's name is not known") from error
    return list(dict.fromkeys(ipaddress.ip_address(address[0]) for *_, address in found))


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to a host only if every address that it resolves to is admitted, and then to one of these."""

    def __init__(self, allowed: Allowed, deadline: Deadline, resolve: Resolve = addresses_of) -> None:
        self._allowed = allowed
        self._deadline = deadline
        self._resolve = resolve
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect.

        Raises:
            AddressRefused: One of the host's addresses is not admitted.
        """
        addresses = self._resolve(host, port)
        if not all(self._allowed.admits(host, port, address) for address in addresses):
            raise AddressRefused(host)
        refused: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            left = self._deadline.left(httpcore.ConnectTimeout)
            try:
                stream = self._network.connect_tcp(str(address), port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
            else:
                return _Hurried(stream, self._deadline)
        raise refused


class _Hurried(httpcore.NetworkStream):
    """A stream on which every wait ends with the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _Hurried(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
