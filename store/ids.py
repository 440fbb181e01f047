"""Ids: a prefix that says what a thing is and a UUIDv7 that sorts by the time it was made."""

from typing import Literal

import uuid_utils

Prefix = Literal["team", "key", "aud", "blob", "ds", "mdl", "job", "swp", "upl", "whk", "msg"]


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as `job_0193a4b2…`; ids of one process sort in the order they were made."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"
