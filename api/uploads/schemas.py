"""Uploads as the outside sees them."""

from datetime import datetime

from pydantic import BaseModel, Field

from store import UploadState


class UploadView(BaseModel):
    """A file that comes in parts."""

    id: str = Field(description="What to give a dataset or model in place of the file.")
    filename: str
    size: int = Field(description="Bytes of the whole file.")
    offset: int = Field(description="Bytes that have come.")
    sha256: str | None = Field(description="Of the whole file; null until it has come.")
    expires_at: datetime = Field(description="When it is removed, unless more comes or it is used.")
    url: str


def upload_view(state: UploadState) -> UploadView:
    """Show an upload."""
    return UploadView(
        id=state.id,
        filename=state.filename,
        size=state.size,
        offset=state.offset,
        sha256=state.sha256,
        expires_at=state.expires_at,
        url=f"/v1/uploads/{state.id}",
    )
