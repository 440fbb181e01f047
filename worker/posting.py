"""One request to a webhook's receiver: signed, to a checked address, without redirects, and what came of it."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpcore
import httpx
from standardwebhooks.webhooks import Webhook as Signer

from store import Allowed, BadUrl, Claimed, Destination, Outcome, destination, hide_keys
from worker.egress import AddressRefused, CheckedNetwork, Deadline, Resolve, addresses_of

RESPONSE_BYTES = 2000
"""So much of an answer's body is read and kept."""

Headers = Sequence[tuple[str, str]]


class Postman:
    """Sends messages; one for all threads."""

    def __init__(self, allowed: Allowed, timeout_s: float, resolve: Resolve = addresses_of) -> None:
        """Prepare to send.

        Args:
            allowed: where messages may go beside the internet.
            timeout_s: how long one request may take, from the look-up of the name to the end of the answer.
            resolve: how names become addresses.
        """
        self._allowed = allowed
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._ssl = httpx.create_ssl_context()  # with SSL_CERT_FILE, an operator's own authorities

    def send(self, claimed: Claimed, secrets: Sequence[str]) -> Outcome:
        """Send a message, signed with each of some secrets."""
        started = time.monotonic()
        outcome = self._outcome(claimed, secrets)
        return replace(outcome, duration_s=time.monotonic() - started)

    def _outcome(self, claimed: Claimed, secrets: Sequence[str]) -> Outcome:
        try:
            to = destination(claimed.url, self._allowed)
        except BadUrl as error:  # what the operator allows has changed since
            return Outcome(error=f"Not sent: the URL {error}.")
        try:
            status, body, retry_after = self._post(to, headers_of(claimed, to, secrets), claimed.payload)
        except AddressRefused as error:
            return Outcome(error=str(error))
        except httpcore.TimeoutException:
            return Outcome(error=f"No whole answer came within {self._timeout_s:g} s.")
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            return Outcome(error=f"No answer came: {str(error) or type(error).__name__}.")
        said = hide_keys(body.decode("utf-8", "replace").replace("\0", "\ufffd"))
        return Outcome(status=status, response=said, error=_fault(status), retry_after_s=_seconds(retry_after))

    def _post(self, to: Destination, headers: Headers, body: str) -> tuple[int, bytes, str]:
        """Status, the beginning of the body, and Retry-After. A connection serves one request: nothing is kept."""
        network = CheckedNetwork(self._allowed, Deadline(self._timeout_s), self._resolve)
        url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)
        with (
            httpcore.ConnectionPool(ssl_context=self._ssl, network_backend=network) as pool,
            pool.stream("POST", url, headers=headers, content=body.encode()) as response,
        ):
            said = b""
            for chunk in response.iter_stream():
                said += chunk
                if len(said) >= RESPONSE_BYTES:
                    break
            fields = {name.lower(): value for name, value in response.headers}
            return response.status, said[:RESPONSE_BYTES], fields.get(b"retry-after", b"").decode("latin-1")


def headers_of(claimed: Claimed, to: Destination, secrets: Sequence[str]) -> Headers:
    """The request's headers, as https://github.com/standard-webhooks/standard-webhooks has them."""
    signatures = (Signer(secret).sign(claimed.id, claimed.at, claimed.payload) for secret in secrets)
    return [
        ("Host", to.host_header),
        ("Content-Type", "application/json"),
        ("User-Agent", "Secateur-Webhooks"),
        ("Connection", "close"),
        ("webhook-id", claimed.id),
        ("webhook-timestamp", str(int(claimed.at.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    ]


def _fault(status: int) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    if 200 <= status < 300:
        return None
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown"
    advice = ": redirects are not followed, give the final URL" if 300 <= status < 400 else ""
    return f"The receiver answered {status} {phrase}{advice}."


def _seconds(retry_after: str) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3), seconds or a date, in seconds from now."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
