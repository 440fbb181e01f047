"""A receiver of webhooks: a real web server on this machine that keeps what it was sent and answers as it is told."""

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """How it answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    pause_s: float = 0.0  # before it answers
    drip_s: float = 0.0  # between two bytes of the body


@dataclass
class Got:
    """What it was sent."""

    path: str
    headers: dict[str, str]
    body: str


class Receiver:
    """The server, while it runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reply = Reply()
        self.got: list[Got] = []
        self.hosts_named: list[str | None] = []  # by TLS clients (SNI)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    @property
    def ids(self) -> list[str]:
        return [got.headers["webhook-id"] for got in self.got]


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Receive on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.got.append(Got(self.path, headers, body))
            reply = here.reply
            time.sleep(reply.pause_s)
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                step = 1 if reply.drip_s else len(reply.body) or 1
                for start in range(0, len(reply.body), step):
                    self.wfile.write(reply.body[start : start + step])
                    time.sleep(reply.drip_s)
            except OSError:
                pass  # the sender has had enough

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of handshakes that were broken off."""

    server = Server(("127.0.0.1", 0), Handler)
    here = Receiver(server.server_address[1])
    if tls is not None:
        tls.set_servername_callback(lambda _, name, __: here.hosts_named.append(name))
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
