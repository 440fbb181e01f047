"""The service as users run it: a uvicorn process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def serving(folder: Path, settings: Mapping[str, object]) -> Iterator[str]:
    """Run a service with SECATEUR_… settings as long as the context lasts, and say at which URL.

    Args:
        folder: where its log goes.
        settings: by the names that `store.Settings` gives them.
    """
    variables = {f"SECATEUR_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory", "--no-access-log"]
    command += ["--http", "api.protocol:BoundedProtocol"]
    # The socket is opened here and handed over: no port can be taken away between choosing and using it.
    with socket.create_server(("127.0.0.1", 0)) as server, (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--fd", str(server.fileno())],
            env={**os.environ, **variables},
            pass_fds=[server.fileno()],
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120  # seconds of work, which a busy machine stretches
    while time.monotonic() < until:
        assert process.poll() is None, "The service ended; see service.log."
        try:
            httpx.get(f"{url}/healthz", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("The service did not come up.")
