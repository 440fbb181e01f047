"""An API key as text, `sec_<id>_<secret><checksum>`: what people paste, and what a typo in it is told by."""

import re
import secrets
import string
import zlib

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_SECRET_LENGTH = 43
"""Base62 characters for 256 random bits."""

_CHECKSUM_LENGTH = 6
"""Base62 characters for the 32 bits of a CRC."""

_KEY = re.compile(rf"(sec_([0-9a-f]{{32}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}}))([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})")

_FORMER = re.compile(r"sec_([0-9a-f]{32})_([0-9A-Za-z_-]{43})")
"""Keys made before there were checksums; they are as good as they were."""

_LOOKS_LIKE_A_KEY = re.compile(r"sec_([0-9A-Za-z]+)_[0-9A-Za-z_-]+")

_LOOKS_LIKE_A_SIGNING_SECRET = re.compile(r"whsec_[0-9A-Za-z+/_-]+=*")


def mint(key_id: str) -> tuple[str, str]:
    """Make a key's text; return it and the secret in it.

    The last six characters are the CRC-32 of what stands before them, as in GitHub's tokens
    (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/): a typo is told
    without asking anybody, and scanners of leaked secrets need not guess.
    """
    secret = "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH))
    text = f"sec_{key_id.removeprefix('key_')}_{secret}"
    return text + _checksum(text), secret


def read(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key's text; None if it is none, or mistyped."""
    if found := _KEY.fullmatch(text):
        whole, id_, secret, checksum = found.groups()
        return (f"key_{id_}", secret) if checksum == _checksum(whole) else None
    if found := _FORMER.fullmatch(text):
        return f"key_{found[1]}", found[2]
    return None


def hide_keys(text: str) -> str:
    """Cut the secret off whatever looks like a key in a text; its id stays, to say which it was.

    So it is done with the signing secrets of webhooks, which have no id.
    """
    if "sec_" not in text:  # as nearly always; so do signing secrets begin, too
        return text
    return _LOOKS_LIKE_A_SIGNING_SECRET.sub("whsec_…", _LOOKS_LIKE_A_KEY.sub(r"sec_\1_…", text))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
