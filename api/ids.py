"""Ids in paths: what cannot be an id of ours is simply not found, and never reaches the database."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator

from api.problems import Missing

_SHAPE = re.compile(r"(job|ds|mdl|swp|key|upl|whk|msg)_[0-9a-f]{32}")


def is_id(text: str, prefix: str) -> bool:
    """Whether a text can be an id of ours of this kind."""
    found = _SHAPE.fullmatch(text)
    return found is not None and found[1] == prefix


def looks_like_an_id(text: str) -> bool:
    """Whether a text can be an id of ours, of whatever kind."""
    return _SHAPE.fullmatch(text) is not None


def _shaped(text: str) -> str:
    if not looks_like_an_id(text):
        # cut, and without control characters: it comes from anyone and goes into the answer
        raise Missing(f"There is nothing with the id {text[:60]!r}. Ids look like job_0193a4b2….")
    return text


JobIdWord = Annotated[str, AfterValidator(_shaped)]
"""A job's id in a query."""

JobId = Annotated[str, Path(description="`job_…`"), AfterValidator(_shaped)]
DatasetId = Annotated[str, Path(description="`ds_…`"), AfterValidator(_shaped)]
KeyId = Annotated[str, Path(description="`key_…`"), AfterValidator(_shaped)]
ModelId = Annotated[str, Path(description="`mdl_…`"), AfterValidator(_shaped)]
SweepId = Annotated[str, Path(description="`swp_…`"), AfterValidator(_shaped)]
MessageId = Annotated[str, Path(description="`msg_…`"), AfterValidator(_shaped)]
UploadId = Annotated[str, Path(description="`upl_…`"), AfterValidator(_shaped)]
WebhookId = Annotated[str, Path(description="`whk_…`"), AfterValidator(_shaped)]
