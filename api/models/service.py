"""Takes models in: check, store."""

from api.dependencies import Services
from api.models.inspection import inspect
from api.multipart import FilePart, Form
from api.pieces import pieces
from store import BlobRef, BlobStore, Model, NewFile, Principal, insert_model


def take_in(here: Services, caller: Principal, form: Form, *, source: str | None = None) -> Model:
    """Store an upload, or refuse it whole: until everything has passed, nothing is written.

    Raises:
        Invalid: Something is wrong with it.
    """
    found = inspect(form)
    files = [NewFile(path, _store(here.blobs, file)) for path, file in found.files.items()]
    with here.database.write() as session:
        return insert_model(
            session,
            caller.team_id,
            name=form.name,
            source=source,
            model_type=found.configuration.model_type,
            config=found.configuration.document,
            tensors=found.tensors_document(),
            parameters=found.parameters,
            files=files,
        )


def _store(blobs: BlobStore, file: FilePart) -> BlobRef:
    if file.blob is not None:
        return file.blob
    file.stream.seek(0)
    return blobs.write(pieces(file.stream))
