"""The service is found by argument, environment or the local service, in this order."""

import json
from pathlib import Path

import pytest

from secateur import NotConfigured
from secateur.address import find


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that knows nothing but an empty data directory."""
    for name in ("SECATEUR_URL", "SECATEUR_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def local_service(data_dir: Path) -> None:
    (data_dir / "service.json").write_text(json.dumps({"url": "http://127.0.0.1:8123"}))
    (data_dir / "admin.key").write_text("sec_local_key\n")


def test_without_any_address_the_error_says_how_to_give_one() -> None:
    with pytest.raises(NotConfigured, match=r"`secateur up`.*--url or SECATEUR_URL"):
        find()


@pytest.mark.usefixtures("local_service")
def test_the_local_service_is_the_default_with_its_key() -> None:
    found = find()
    assert (found.url, found.key) == ("http://127.0.0.1:8123", "sec_local_key")


@pytest.mark.usefixtures("local_service")
def test_the_local_key_is_never_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("https://prune.example.org").key is None
    monkeypatch.setenv("SECATEUR_URL", "https://prune.example.org")
    assert find().key is None


@pytest.mark.usefixtures("local_service")
def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_URL", "https://environment")
    monkeypatch.setenv("SECATEUR_KEY", "sec_environment")
    assert (find().url, find().key) == ("https://environment", "sec_environment")
    found = find("https://argument/", "sec_argument")
    assert (found.url, found.key) == ("https://argument", "sec_argument")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://a b", "prune.example.org"])
def test_a_malformed_address_is_told_with_a_good_one(url: str) -> None:
    with pytest.raises(NotConfigured, match="write it as http://host:port"):
        find(url)


@pytest.mark.parametrize("key", ["two words", "sec_\x07", "schlüssel"])
def test_a_malformed_key_is_told_before_anything_is_sent(key: str) -> None:
    with pytest.raises(NotConfigured, match="check --key or SECATEUR_KEY"):
        find("http://host", key)


def test_the_error_about_a_key_does_not_repeat_it() -> None:
    with pytest.raises(NotConfigured) as caught:
        find("http://host", "sec_my secret")
    assert "secret" not in str(caught.value)


def test_a_broken_service_file_is_named(data_dir: Path) -> None:
    (data_dir / "service.json").write_text("{")
    with pytest.raises(NotConfigured, match=r"service\.json cannot be read"):
        find()
