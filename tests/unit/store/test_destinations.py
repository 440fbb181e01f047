"""Which addresses webhooks may go to, and how a URL is read."""

import ipaddress

import pytest

from store import Allowed, BadUrl, destination
from store.destinations import is_public

PRIVATE = [
    "0.0.0.1", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.168.0.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1",
    "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254",  # IPv4-mapped
    "2002:7f00:1::", "2002:a9fe:a9fe::1",  # 6to4
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",  # NAT64, and its local form
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::101:101",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_no_message_goes_to(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_messages_may_go_to(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_a_url_is_taken_apart() -> None:
    plain = destination("https://Example.ORG./a/b?c=%20", Allowed())
    assert (plain.scheme, plain.host, plain.port, plain.target) == ("https", "example.org", 443, "/a/b?c=%20")
    assert plain.host_header == "example.org"
    literal = destination("https://[2606:4700::1111]:8443?a", Allowed())
    assert (literal.host, literal.target, literal.host_header) == ("2606:4700::1111", "/?a", "[2606:4700::1111]:8443")


def test_what_the_operator_names_may_be_called_as_it_is() -> None:
    allowed = Allowed.read("hooks.internal, [::1]:9000,db.internal:8080,10.0.0.0/8,192.168.0.7")
    for url in (
        "http://hooks.internal/",
        "http://hooks.internal:81/",
        "http://[::1]:9000/",
        "https://db.internal:8080/",
        "http://10.9.9.9:1/",
        "http://192.168.0.7/",
    ):
        assert destination(url, allowed).scheme == url.partition(":")[0]
    for url in ("http://db.internal/", "http://[::1]:9001/", "https://192.168.0.8/", "http://x.hooks.internal/"):
        with pytest.raises(BadUrl, match="SECATEUR_WEBHOOK_ALLOW"):
            destination(url, allowed)
    inside, outside = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("127.0.0.1")
    assert allowed.admits("example.org", 443, inside), "whatever name leads into the network"
    assert not allowed.admits("example.org", 443, outside)
    assert allowed.admits("hooks.internal", 443, outside), "wherever the name leads"
    assert not allowed.admits("db.internal", 443, outside)


@pytest.mark.parametrize("entry", ["a b", "*.internal", "host:0", "host:99999", "http://host", "10.0.0.0/99"])
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="SECATEUR_WEBHOOK_ALLOW"):
        Allowed.read(entry)
