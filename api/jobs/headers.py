"""Headers that several routes take."""

from typing import Annotated

from fastapi import Header

KEY_HEADER = "Idempotency-Key"
_MAX_LENGTH = 255

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=_MAX_LENGTH,
        description="Sending the same request again with it answers as the first time.",
    ),
]
"""The client's own name for a request."""


def is_fit(key: str | None) -> bool:
    """Whether a request may have this key, or none."""
    return key is None or 1 <= len(key) <= _MAX_LENGTH
