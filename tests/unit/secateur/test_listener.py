"""The API's port is taken before anything else starts."""

import pytest

from secateur.embedded.listener import listen, url_of
from secateur.errors import EmbeddedError, PortBusy


def test_port_0_takes_a_free_one() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_for_everybody_is_told_as_this_machines() -> None:
    with listen("0.0.0.0", 0) as listener:  # noqa: S104  (what is tested)
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_a_busy_port_is_told_with_the_ways_out() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"Port {port} on 127\.0\.0\.1 is already in use.*--port 0"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(EmbeddedError, match=f"cannot listen on {host}"):
        listen(host, 0)
