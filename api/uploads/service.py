"""Begins uploads, adds to them, and hands whole ones over to whoever makes a dataset or model of them."""

import dataclasses
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.dependencies import Services
from api.multipart import FilePart, Form, require_within
from api.problems import FieldError, Invalid, TooLarge, TooSlow, pointer
from store import (
    GrowingBlob,
    NotFound,
    Principal,
    UploadState,
    begin_upload,
    complete_upload,
    end_upload,
    get_upload,
    prolong_upload,
)
from store.blobs import CHUNK_BYTES

#: So much is gathered before a thread is asked to store it.
_GATHERED = 1 << 20


def largest(here: Services) -> int:
    """The largest file that anything could be made of."""
    return max(here.settings.max_model_bytes, here.settings.max_dataset_bytes)


def begin(here: Services, caller: Principal, filename: str, size: int) -> UploadState:
    """Make room for a file.

    Raises:
        Invalid: It would be empty.
        TooLarge: It is larger than anything may be.
        QuotaExceeded: The team has as much on its way as it may.
    """
    if size == 0:
        raise Invalid([FieldError("/header/Upload-Length", "The file is empty. Nothing can be made of it.")])
    if size > largest(here):
        raise TooLarge(
            f"The file is over the limit of {largest(here):,} bytes. Send a smaller one, or let the operator raise "
            "SECATEUR_MAX_MODEL_BYTES."
        )
    with here.database.write() as session:
        upload_id = begin_upload(
            session,
            caller.team_id,
            filename=filename,
            size=size,
            chunk_bytes=CHUNK_BYTES,
            ttl_s=here.settings.upload_ttl_s,
            quota=here.settings.team_max_upload_bytes,
        )
    return look(here, caller, upload_id)


def look(here: Services, caller: Principal, upload_id: str) -> UploadState:
    """How far an upload is.

    Raises:
        NotFound: The team has no such upload.
    """
    with here.database.read() as session:
        return get_upload(session, caller.team_id, upload_id)


async def add(here: Services, caller: Principal, state: UploadState, body: AsyncIterator[bytes]) -> UploadState:
    """Add what comes at the end of an upload, and keep what has come if it breaks off.

    Raises:
        OffsetMoved: Somebody else adds to it.
        TooLarge: More comes than was announced; what was announced is kept.
        ClientDisconnect: The connection broke.
        TooSlow: Nothing more comes.
    """
    growing = await run_in_threadpool(GrowingBlob, here.database, state.blob_id, state.offset)
    try:
        await _pour(growing, body, state.size)
    finally:
        await run_in_threadpool(_close, here, caller, state, growing)
    return await run_in_threadpool(look, here, caller, state.id)


async def require_end(state: UploadState, body: AsyncIterator[bytes]) -> None:
    """See that nothing is added to a whole upload.

    Raises:
        TooLarge: Something is.
    """
    async for piece in body:
        if piece:
            raise _too_large(state.size)


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"More has come than the {size:,} bytes of Upload-Length. What was announced is kept.")


async def _pour(growing: GrowingBlob, body: AsyncIterator[bytes], size: int) -> None:
    gathered = bytearray()
    try:
        async for piece in body:
            gathered += piece
            if growing.offset + len(gathered) > size:
                await run_in_threadpool(growing.write, bytes(gathered[: size - growing.offset]))
                raise _too_large(size)
            if len(gathered) >= _GATHERED:
                await run_in_threadpool(growing.write, bytes(gathered))
                gathered.clear()
    except (ClientDisconnect, TooSlow):
        await run_in_threadpool(growing.write, bytes(gathered))
        raise
    await run_in_threadpool(growing.write, bytes(gathered))


def _close(here: Services, caller: Principal, state: UploadState, growing: GrowingBlob) -> None:
    """Store what waits, and publish the file if that was its end."""
    growing.flush()
    with here.database.write() as session:
        prolong_upload(session, caller.team_id, state.id, here.settings.upload_ttl_s)
    if growing.offset == state.size:
        complete_upload(here.database, caller.team_id, state, growing.sha256())


def end(here: Services, caller: Principal, upload_id: str) -> None:
    """Forget an upload.

    Raises:
        NotFound: The team has no such upload.
    """
    with here.database.write() as session:
        end_upload(session, caller.team_id, upload_id)


@contextmanager
def with_uploads(here: Services, caller: Principal, form: Form, limit: int) -> Iterator[Form]:
    """The form with the files that it names by their uploads; these are used up if the block ends well.

    Args:
        here: the process's services.
        caller: whose uploads.
        form: as it came.
        limit: bytes of all files together.

    Raises:
        Invalid: There is no such upload, or it is not whole.
        TooLarge: All files together are over the limit.
    """
    if not form.uploads:
        yield form
        return
    found = [(field, _whole(here, caller, field, upload_id)) for field, upload_id in form.uploads]
    require_within(limit, sum(file.size for file in form.files) + sum(state.size for _, state in found))
    with ExitStack() as open_:
        files = [*form.files, *(_part(here, field, state, open_) for field, state in found)]
        yield dataclasses.replace(form, files=tuple(files), uploads=())
    for upload_id in {state.id for _, state in found}:
        with suppress(NotFound):  # another request has used it up, or dropped it, in the meantime
            end(here, caller, upload_id)


def _whole(here: Services, caller: Principal, field: str, upload_id: str) -> UploadState:
    try:
        state = look(here, caller, upload_id)
    except NotFound as error:
        raise Invalid([FieldError(pointer(field), str(error))]) from error
    if state.offset < state.size:
        raise Invalid(
            [
                FieldError(
                    pointer(field),
                    f"Upload {upload_id} has {state.offset:,} of its {state.size:,} bytes. PATCH the rest first.",
                )
            ]
        )
    if state.blob is None:  # the process died after the last byte
        complete_upload(
            here.database, caller.team_id, state, GrowingBlob(here.database, state.blob_id, state.offset).sha256()
        )
        state = look(here, caller, upload_id)
    return state


def _part(here: Services, field: str, state: UploadState, open_: ExitStack) -> FilePart:
    """A copy on disk, for readers that jump about in it."""
    file = open_.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by `open_`
    for piece in here.blobs.read(state.blob_id):
        file.write(piece)
    file.seek(0)
    return FilePart(field, state.filename, state.size, file, state.blob)
