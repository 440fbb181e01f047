"""Where the service is and which key opens it: arguments, then environment, then the local `secateur up`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from secateur.errors import NotConfigured

URL_VARIABLE = "SECATEUR_URL"
KEY_VARIABLE = "SECATEUR_KEY"
DATA_DIR_VARIABLE = "SECATEUR_DATA_DIR"

SERVICE_FILE = "service.json"
KEY_FILE = "admin.key"


@dataclass(frozen=True)
class Address:
    """A service to talk to.

    Attributes:
        url: The service's base URL, without a slash at the end.
        key: The bearer key, or None where none was found (health needs none).
        origin: Where the URL came from, for error messages.
    """

    url: str
    key: str | None
    origin: str


def default_data_dir() -> Path:
    """The data directory of `secateur up`: `$SECATEUR_DATA_DIR`, else `~/.secateur`."""
    chosen = os.environ.get(DATA_DIR_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".secateur"


def find(url: str | None = None, key: str | None = None) -> Address:
    """Resolve the service's address.

    The local admin key is used only for the local service: it is never sent to an address that came from elsewhere.

    Raises:
        NotConfigured: There is no address, or the address or key is malformed.
    """
    key = key or os.environ.get(KEY_VARIABLE) or None
    if url:
        return Address(_checked_url(url, "the url given"), _checked_key(key), "the url given")
    if from_environment := os.environ.get(URL_VARIABLE):
        return Address(_checked_url(from_environment, URL_VARIABLE), _checked_key(key), URL_VARIABLE)
    data_dir = default_data_dir()
    local = _local_url(data_dir)
    if local is None:
        raise NotConfigured(
            f"No service address is known: no service runs from {data_dir}, and {URL_VARIABLE} is not set. "
            f"Start one with `secateur up`, or name one with --url or {URL_VARIABLE}."
        )
    origin = str(data_dir / SERVICE_FILE)
    return Address(_checked_url(local, origin), _checked_key(key or _local_key(data_dir)), origin)


def _local_url(data_dir: Path) -> str | None:
    path = data_dir / SERVICE_FILE
    try:
        entry: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{path} cannot be read ({error}). Start the service again with `secateur up`.") from error
    url = entry.get("url") if isinstance(entry, dict) else None
    return url if isinstance(url, str) else None


def _local_key(data_dir: Path) -> str | None:
    path = data_dir / KEY_FILE
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotConfigured(
            f"The key in {path} cannot be read ({error.strerror}). Run as its owner or set {KEY_VARIABLE}."
        ) from error


def _checked_url(url: str, origin: str) -> str:
    trimmed = url.strip().rstrip("/")
    scheme, _, rest = trimmed.partition("://")
    if scheme not in ("http", "https") or not rest or any(c.isspace() for c in rest):
        raise NotConfigured(f"{url!r} ({origin}) is not a service address; write it as http://host:port.")
    return trimmed


def _checked_key(key: str | None) -> str | None:
    if key is None:
        return None
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise NotConfigured(f"The key is not one that Secateur gives out (sec_…); check --key or {KEY_VARIABLE}.")
    return key
