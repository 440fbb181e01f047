"""Everything the store refuses, as one tree. An exception's docstring says what it means.

StoreError
├── NotFound                no such row, or another team's
├── FilesExpired            retention has removed the job's files
├── TransitionRefused       the job's state forbids what was asked
├── SweepRefused            the states of a sweep's jobs forbid what was asked
├── InUse                   an unfinished job needs what was to be deleted
├── InputGone               the job's model, dataset or teacher was deleted
├── KeyOver                 the API key was revoked, has expired, or was replaced
├── IdempotencyConflict     the key was used for another body
├── QueueFull               the team has as many waiting jobs as it may
├── QuotaExceeded           the team has as much on its way in as it may
├── TooManyWebhooks         the team has as many webhooks as it may
├── UrlTaken                the team has a webhook of this URL
├── DeliveryUnderWay        the message is on its way already
├── WebhookDisabled         the webhook is disabled, and the message is no test
├── WrongServerSecret       the webhook's secrets were made under another server secret
├── OffsetMoved             an upload does not end where its next part begins
├── InvalidCursor           the page cursor is not one we gave
├── FenceLost               the attempt no longer owns its job
└── BlobError
    ├── BlobCorrupt         the stored bytes are not the bytes that were written
    └── BlobAbandoned       the upload was swept away while it went on
"""

from collections.abc import Sequence
from datetime import datetime


class StoreError(Exception):
    """The base of everything the store refuses."""


class NotFound(StoreError):
    """There is no such row, or it belongs to another team: the two cannot be told apart from outside."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(f"There is no {kind} {id_!r}. Check the id, and that the key belongs to the same team.")
        self.kind = kind
        self.id = id_


class FilesExpired(StoreError):
    """Retention has removed the job's files."""

    def __init__(self, job_id: str, at: datetime) -> None:
        super().__init__(
            f"The files of job {job_id} were removed at {at.isoformat(timespec='seconds')} by the service's retention "
            "policy; its figures stay. Submit its spec again for new ones, and pin that job to keep them."
        )
        self.job_id = job_id
        self.at = at


#: What to do about a request that comes too early, or to the wrong job.
_INSTEAD = {
    ("be resumed", "pausing"): "wait until it is paused",
    ("be tried again", "cancelling"): "wait until it is cancelled",
    ("be tried again", "paused"): "resume it instead",
    ("be tried again", "succeeded"): "submit its spec again for another run",
    ("be deleted", "cancelling"): "wait until it is cancelled",
    **{("be deleted", status): "cancel it first" for status in ("queued", "running", "pausing", "paused")},
}
#: Why a request comes too late.
_BECAUSE = {
    "cancelling": "its cancellation has been asked for",
    "succeeded": "it has ended",
    "failed": "it has ended, and can be tried again",
    "cancelled": "it has ended, and can be tried again",
}


class TransitionRefused(StoreError):
    """The job's state forbids what was asked of it."""

    def __init__(self, job_id: str, verb: str, status: str) -> None:
        why = _INSTEAD.get((verb, status)) or _BECAUSE.get(status, "only a job that has failed or was cancelled can")
        is_so = f"has {status}" if status in ("succeeded", "failed") else f"is {status}"
        super().__init__(f"Job {job_id} {is_so} and cannot {verb}: {why}.")
        self.job_id = job_id
        self.status = status


class SweepRefused(StoreError):
    """The states of a sweep's jobs forbid what was asked of it."""

    def __init__(self, sweep_id: str, verb: str, why: str) -> None:
        super().__init__(f"Sweep {sweep_id} cannot {verb}: {why}.")
        self.sweep_id = sweep_id


class InUse(StoreError):
    """What was to be deleted is needed by a job that has not ended."""

    def __init__(self, kind: str, id_: str, jobs: Sequence[str], *, more: bool = False) -> None:
        named = ", ".join(jobs) + (" and others" if more else "")
        super().__init__(f"The {kind} {id_} is in use by unfinished jobs: {named}. Let them end or cancel them first.")
        self.jobs = tuple(jobs)


class InputGone(StoreError):
    """The job cannot be tried again: its model, its dataset or its teacher was deleted."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The model, the dataset or the teacher of job {job_id} was deleted, so it cannot be tried again. Upload "
            "anew what is gone and submit its spec with the new ids."
        )
        self.job_id = job_id


class KeyOver(StoreError):
    """The API key cannot be rotated: it was revoked, has expired, or was replaced before."""


class IdempotencyConflict(StoreError):
    """The idempotency key was used within 24 hours for another body."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key {key!r} was used for another request. Send the same body again, or choose a new key."
        )
        self.key = key


class QueueFull(StoreError):
    """The team has as many waiting jobs as it may."""

    def __init__(self, waiting: int, limit: int, adding: int = 1) -> None:
        more = "" if adding == 1 else f", this would add {adding}"
        super().__init__(
            f"Your team has {waiting} job{'' if waiting == 1 else 's'} waiting{more}, and its limit (max_queued) is "
            f"{limit}. "
            "Submit again when some have begun, cancel some that you no longer need, or ask the operator for a higher "
            "limit."
        )
        self.limit = limit


class QuotaExceeded(StoreError):
    """The team has as much on its way in as it may."""

    def __init__(self, taken: int, size: int, quota: int) -> None:
        super().__init__(
            f"Your team's uploads take {taken:,} bytes; with these {size:,} it would exceed the {quota:,} that it "
            "may have. Use or delete some, wait until they expire, or let the operator raise "
            "SECATEUR_TEAM_MAX_UPLOAD_BYTES."
        )


class TooManyWebhooks(StoreError):
    """The team has as many webhooks as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"Your team has as many webhooks as it may, {limit}. Delete one that you no longer need, or let the "
            "operator raise SECATEUR_TEAM_MAX_WEBHOOKS."
        )


class UrlTaken(StoreError):
    """The team has a webhook of this URL."""

    def __init__(self) -> None:
        super().__init__("url: another webhook of your team has it. Change that one, or delete it first.")


class DeliveryUnderWay(StoreError):
    """The message is on its way already."""

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"Message {delivery_id} is still being sent. Wait until it has succeeded or failed.")


class WebhookDisabled(StoreError):
    """The webhook is disabled, and the message is no test."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"Webhook {webhook_id} is disabled. Enable it first; a test can be sent to it as it is.")


class WrongServerSecret(StoreError):
    """The webhook's secrets were made under another server secret than the one we have."""

    def __init__(self) -> None:
        super().__init__(
            "The secret of this webhook was made under another SECATEUR_SERVER_SECRET, or under none. Rotate it, and "
            "give the receiver the new one; or let the operator set the former one again."
        )


class OffsetMoved(StoreError):
    """An upload does not end where its next part begins: somebody else has added to it, or it is whole or gone."""

    def __init__(self) -> None:
        super().__init__("The upload has changed meanwhile. HEAD says where to go on.")


class InvalidCursor(StoreError):
    """The page cursor is not one that this listing gave out."""

    def __init__(self) -> None:
        super().__init__(
            "cursor: not a cursor of this listing. Use next_cursor as it was given, with the same sort and filters."
        )


class FenceLost(StoreError):
    """The attempt no longer owns its job: whoever holds it is a zombie and must stop."""

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer owns job {job_id}: stop its trainer and write nothing more.")
        self.job_id = job_id
        self.attempt = attempt


class BlobError(StoreError):
    """A blob could not be written or read."""


class BlobCorrupt(BlobError):
    """The stored bytes are not the bytes that were written."""

    def __init__(self, blob_id: str, why: str) -> None:
        super().__init__(f"Blob {blob_id} is damaged ({why}). Restore it from a backup or upload the file again.")
        self.blob_id = blob_id


class BlobAbandoned(BlobError):
    """The upload was swept away as abandoned while it went on."""

    def __init__(self, blob_id: str) -> None:
        super().__init__(f"The upload of blob {blob_id} paused for too long and was swept away. Start it again.")
        self.blob_id = blob_id
