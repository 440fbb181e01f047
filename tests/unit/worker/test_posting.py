"""One message on its way: signed, to checked addresses alone, never redirected, never longer than its time."""

import ipaddress
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from store import Allowed, Claimed, Outcome
from tests.receiver import Receiver, Reply, receiver
from worker.egress import Address
from worker.posting import RESPONSE_BYTES, Postman

SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cywgb2YgMzIgYnl0ZXM="
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlc2UgdmVyeSB0ZXN0cw=="
HERE = Allowed.read("127.0.0.1")
LOOPBACK, PUBLIC, METADATA = map(ipaddress.ip_address, ("127.0.0.1", "93.184.216.34", "169.254.169.254"))


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiver() as made:
        yield made


def send(
    url: str,
    allowed: Allowed = HERE,
    *names: Sequence[Address],
    secrets: Sequence[str] = (SECRET,),
    timeout_s: float = 5.0,
) -> Outcome:
    """Send a message; names resolve to the first of `names`, the next time to the second, and so on."""
    claimed = Claimed("msg_1", 1, "whk_1", url, "job.succeeded", '{"type":"job.succeeded"}', datetime.now(UTC))
    turns = iter(names)

    def resolve(host: str, port: int) -> Sequence[Address]:
        return next(turns)

    postman = Postman(allowed, timeout_s, resolve) if names else Postman(allowed, timeout_s)
    return postman.send(claimed, secrets)


def test_a_message_arrives_signed_with_every_secret(there: Receiver) -> None:
    outcome = send(there.url, secrets=[SECRET, OTHER])
    assert (outcome.status, outcome.response, outcome.error) == (200, "thanks", None)
    assert 0 < outcome.duration_s < 5
    [got] = there.got
    assert got.path == "/hook?a=b"
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert got.headers["webhook-id"] == "msg_1"
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(got.body, got.headers) == {"type": "job.succeeded"}
    assert len(got.headers["webhook-signature"].split()) == 2


@pytest.mark.parametrize("addresses", [[METADATA], [PUBLIC, METADATA], [LOOPBACK], [PUBLIC, LOOPBACK]])
def test_one_address_that_is_not_public_is_one_too_many(addresses: Sequence[Address]) -> None:
    outcome = send("https://hooks.example/", Allowed(), addresses)
    assert outcome.status is None
    assert "hooks.example has an address that is not public" in str(outcome.error)
    assert str(addresses[-1]) not in str(outcome.error), "what the network looks like is not told"


def test_the_address_that_was_checked_is_the_one_that_is_called(there: Receiver) -> None:
    """A name that points elsewhere at each look: there is one look, and a try later it is checked again."""
    url = f"http://hooks.example:{there.port}/"
    named = Allowed.read(f"hooks.example:{there.port}")
    assert send(url, named, [LOOPBACK], [METADATA]).status == 200, "a second look would have found another address"
    assert there.got[0].headers["host"] == f"hooks.example:{there.port}"
    outcome = send(f"https://hooks.example:{there.port}/", Allowed.read(f"other:{there.port}"), [LOOPBACK])
    assert "must be at port" in str(outcome.error)
    rebound = send("https://hooks.example:8443/", Allowed(), [LOOPBACK], [PUBLIC])
    assert "not public" in str(rebound.error)
    assert len(there.got) == 1


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
def test_however_loopback_is_spelt(host: str) -> None:
    assert send(f"https://{host}/", Allowed()).status is None


def test_what_the_operator_no_longer_allows_is_not_called(there: Receiver) -> None:
    assert str(send(there.url, Allowed()).error).startswith("Not sent: the URL must be https")
    assert there.got == []


def test_redirects_are_not_followed(there: Receiver) -> None:
    with receiver() as elsewhere:
        there.reply = Reply(307, {"Location": elsewhere.url})
        outcome = send(there.url)
        assert elsewhere.got == []
    assert (outcome.status, "give the final URL" in str(outcome.error)) == (307, True)


@pytest.mark.parametrize("scheme", ["http", "https", "all"])
def test_the_environments_proxies_are_not_asked(there: Receiver, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert send(there.url).status == 200
        assert proxy.got == []


def test_an_answers_beginning_is_kept(there: Receiver) -> None:
    there.reply = Reply(500, body=b"\0\xff" + f"{SECRET} ".encode() + b"x" * 10_000_000)
    outcome = send(there.url)
    assert outcome.error == "The receiver answered 500 Internal Server Error."
    assert str(outcome.response).startswith("\ufffd\ufffdwhsec_… xxx")
    assert len(str(outcome.response)) <= RESPONSE_BYTES


@pytest.mark.parametrize("reply", [Reply(pause_s=1.5), Reply(body=b"x" * 100, drip_s=0.05)])
def test_whoever_takes_too_long_is_left(there: Receiver, reply: Reply) -> None:
    there.reply = reply
    begun = time.monotonic()
    outcome = send(there.url, timeout_s=0.5)
    assert (outcome.status, outcome.error) == (None, "No whole answer came within 0.5 s.")
    assert time.monotonic() - begun < 1.2


def test_whoever_wakes_too_late_sends_nothing(there: Receiver) -> None:
    """A sender whose host stood still, or whose name server did: by now another may have sent it."""

    def resolve(host: str, port: int) -> Sequence[Address]:
        time.sleep(0.3)
        return [LOOPBACK]

    claimed = Claimed("msg_1", 1, "whk_1", there.url, "job.succeeded", "{}", datetime.now(UTC))
    assert Postman(HERE, 0.2, resolve).send(claimed, [SECRET]).error == "No whole answer came within 0.2 s."
    assert there.got == []


def test_what_does_not_answer_says_so() -> None:
    with receiver() as gone:
        pass
    assert "refused" in str(send(gone.url).error)
    assert "name is not known" in str(send("http://nowhere.invalid/", Allowed.read("nowhere.invalid")).error)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)])
def test_how_long_a_receiver_asks_to_be_left_alone(there: Receiver, said: str, seconds: float | None) -> None:
    there.reply = Reply(503, {"Retry-After": said})
    assert send(there.url).retry_after_s == seconds


def test_over_tls_it_is_the_name_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(context)
    allowed = Allowed.read("hooks.example,other.example")
    with receiver(context) as there:
        assert send(f"https://hooks.example:{there.port}/", allowed, [LOOPBACK]).status == 200
        assert there.hosts_named == ["hooks.example"]
        outcome = send(f"https://other.example:{there.port}/", allowed, [LOOPBACK])
        assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error)
        monkeypatch.delenv("SSL_CERT_FILE")
        outcome = send(f"https://hooks.example:{there.port}/", allowed, [LOOPBACK])
        assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error)
        assert len(there.got) == 1
