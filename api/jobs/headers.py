"""Headers that several routes take."""

from typing import Annotated

from fastapi import Header

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="Sending the same request again with it answers as the first time."
    ),
]
