"""The API's listening socket: opened here, so that its port is certain, and outlives a restart of the API."""

import errno
import os
import socket

from secateur.errors import EmbeddedError, PortBusy


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port; 0 takes a free one.

    Raises:
        PortBusy: Another program listens there.
        EmbeddedError: The address is not one of this machine's, or the port not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE:
            raise PortBusy(host, port) from error
        raise EmbeddedError(
            f"The service cannot listen on {host} port {port}: {os.strerror(code) if code and code > 0 else error}. "
            "Choose another --host or --port."
        ) from error
    # Accepted connections inherit it; Uvicorn, given a bare descriptor, may not know that this is TCP.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """The address under which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
