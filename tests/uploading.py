"""What the service says of a folder that is uploaded as a model, without the service around it."""

from pathlib import Path

from api.models.inspection import Inspected, inspect
from api.multipart import FilePart, Form


def inspected(folder: Path) -> Inspected:
    """Inspect a folder's files.

    Raises:
        Invalid: the service would refuse them.
    """
    streams = {file.name: file.open("rb") for file in folder.iterdir()}
    try:
        parts = [FilePart("files", name, (folder / name).stat().st_size, stream) for name, stream in streams.items()]
        return inspect(Form("tiny", tuple(parts)))
    finally:
        for stream in streams.values():
            stream.close()
