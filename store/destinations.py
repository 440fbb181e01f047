"""Where webhooks may go: the internet by https, and besides it only what the operator names.

A team chooses the URLs, the service calls them from inside the operator's network. So an address is told from
what a name resolves to, at every try anew and for all that it resolves to (OWASP, Server-Side Request Forgery
Prevention); the sender connects to the very address that was checked.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2000
_PORTS = (443, 8443)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_ENTRY = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")
_ASK = "or ask the operator to add it to SECATEUR_WEBHOOK_ALLOW"

#: Not told by every Python's `is_global`: where Azure's and Oracle's agents answer on every machine of theirs.
_METADATA = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BadUrl(ValueError):
    """A URL that no webhook may have. Its text says what to do."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL in its parts.

    Attributes:
        scheme: `https`, or `http` where the operator allows it.
        host: the name or address, in lower case; an IPv6 address without brackets.
        port: as given, or the scheme's own.
        target: path and query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets webhooks call beside the internet.

    Attributes:
        hosts: names, or addresses, with a port or for every port.
        networks: networks, whatever name leads there.
    """

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read `SECATEUR_WEBHOOK_ALLOW`: `host`, `host:port`, `address`, `network/bits`, separated by commas.

        Raises:
            ValueError: An entry is none of these.
        """
        hosts: set[tuple[str, int | None]] = set()
        networks: list[Network] = []
        for entry in filter(None, (each.strip() for each in (text or "").split(","))):
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
                continue
            except ValueError:
                found = _ENTRY.fullmatch(entry)
            if found is None or int(found["port"] or 1) not in range(1, 65_536):
                raise ValueError(
                    f"SECATEUR_WEBHOOK_ALLOW: {entry!r} is no host, host:port, address or network, such as "
                    "hooks.internal, hooks.internal:8080, 10.0.0.7 or 10.0.0.0/8."
                )
            hosts.add((found["host"].strip("[]").lower(), int(found["port"]) if found["port"] else None))
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str, port: int) -> bool:
        """Whether the operator has named a host as it stands in a URL."""
        address = _literal(host)
        return bool({(host, port), (host, None)} & self.hosts) or (address is not None and self._holds(address))

    def admits(self, host: str, port: int, address: Address) -> bool:
        """Whether an address may be called that a host has resolved to."""
        return is_public(address) or self._holds(address) or self.names(host, port)

    def _holds(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def destination(url: str, allowed: Allowed) -> Destination:
    """Take a URL apart.

    Raises:
        BadUrl: No webhook may have it.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadUrl(f"must be a URL of at most {MAX_URL:,} plain characters; write names as xn--… and the rest as %XX")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise BadUrl("is no URL; write it as https://host/path") from error
    if parts.scheme not in ("https", "http") or not (_HOST.fullmatch(host) or _literal(host)):
        raise BadUrl("is no URL of a web server; write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("must not hold a user or password: messages are signed, which tells that they are ours")
    if "#" in url:
        raise BadUrl("must not have a #fragment, which is never sent; leave it out")
    port = (443 if parts.scheme == "https" else 80) if port is None else port
    if not allowed.names(host, port):
        if parts.scheme == "http":
            raise BadUrl(f"must be https, so that nobody reads or changes messages on their way; use it, {_ASK}")
        if port not in _PORTS:
            raise BadUrl(f"must be at port {' or '.join(map(str, _PORTS))}; use one of them, {_ASK}")
        if (address := _literal(host)) is not None and not is_public(address):
            raise BadUrl(f"must be a public address; use one, {_ASK}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port, target)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet's, also where another is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_site_local:
            return False
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    barred = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not barred and not any(address in network for network in _METADATA)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
