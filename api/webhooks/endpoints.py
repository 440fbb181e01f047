"""Routes under /v1/webhooks."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Reader, Submitter
from api.bodies import JsonBody, OptionalJsonBody
from api.contract import json_body, problems_of
from api.dependencies import Here, Services
from api.fields import fields_of
from api.ids import MessageId, WebhookId
from api.jobs.headers import IdempotencyKey
from api.paging import Cursor, Limit, Listing, listing
from api.problems import FieldError, Invalid
from api.webhooks.schemas import (
    MessageLogView,
    MessageView,
    NewWebhook,
    NewWebhookView,
    SecretRotation,
    WebhookChange,
    WebhookView,
    message_log_view,
    message_view,
    new_webhook_view,
    webhook_view,
)
from store import (
    Allowed,
    BadUrl,
    Delivery,
    DeliveryStatus,
    create_webhook,
    delete_webhook,
    destination,
    get_delivery,
    get_webhook,
    list_deliveries,
    list_webhooks,
    resend,
    rotate_webhook,
    send_test,
    tries_of,
    update_webhook,
)
from store import NewWebhook as NewRow

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_NEW = json_body(NewWebhook)
_CHANGE = json_body(WebhookChange)
_ROTATION = json_body(SecretRotation, required=False)


@router.post("", status_code=201, openapi_extra=_NEW, responses=problems_of(409, 429), summary="Create a webhook")
def post(
    here: Here, caller: Submitter, body: JsonBody, response: Response, idempotency_key: IdempotencyKey = None
) -> NewWebhookView:
    """Name a URL that hears of your team's jobs. The answer holds the secret that messages are signed with."""
    new = fields_of(body, NewWebhook)
    _see_that_it_may_be_called(here, new.url)
    with here.database.write() as session:
        made = create_webhook(
            session,
            caller.team_id,
            NewRow(**dict(new)),
            limit=here.settings.team_max_webhooks,
            idempotency_key=idempotency_key,
            body_sha256=body.sha256,
            server_secret=here.settings.plain_server_secret,
        )
    response.headers["Location"] = f"/v1/webhooks/{made[0].id}"
    return _shown_once(new_webhook_view(made), response)


@router.get("", summary="List webhooks")
def get_list(here: Here, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Listing[WebhookView]:
    """The team's webhooks, newest first, without their secrets."""
    with here.database.read() as session:
        page = list_webhooks(session, caller.team_id, limit=limit, cursor=cursor)
    return listing(page, webhook_view)


@router.get("/{webhook_id}", summary="Look at a webhook")
def get_one(here: Here, caller: Reader, webhook_id: WebhookId) -> WebhookView:
    """The webhook, whether it is enabled, and if not, why."""
    with here.database.read() as session:
        return webhook_view(get_webhook(session, caller.team_id, webhook_id))


@router.patch("/{webhook_id}", openapi_extra=_CHANGE, summary="Change a webhook")
def patch(here: Here, caller: Submitter, webhook_id: WebhookId, body: JsonBody) -> WebhookView:
    """Change what is given; the rest stays."""
    change = fields_of(body, WebhookChange)
    if "url" in change.model_fields_set:
        _see_that_it_may_be_called(here, change.url)
    with here.database.write() as session:
        changes = change.model_dump(exclude_unset=True)
        return webhook_view(update_webhook(session, caller.team_id, webhook_id, changes))


@router.delete("/{webhook_id}", status_code=204, response_class=Response, summary="Delete a webhook")
def delete(here: Here, caller: Submitter, webhook_id: WebhookId) -> None:
    """Delete it with its log. What waits is not sent."""
    with here.database.write() as session:
        delete_webhook(session, caller.team_id, webhook_id)


@router.post(
    "/{webhook_id}/rotate",
    status_code=201,
    openapi_extra=_ROTATION,
    summary="Give a webhook a new secret",
)
def rotate(
    here: Here, caller: Submitter, webhook_id: WebhookId, body: OptionalJsonBody, response: Response
) -> NewWebhookView:
    """Sign with a new secret from now on; for `overlap_s`, with the old one as well."""
    rotation = fields_of(body, SecretRotation)
    with here.database.write() as session:
        made = rotate_webhook(
            session,
            caller.team_id,
            webhook_id,
            overlap_s=rotation.overlap_s,
            server_secret=here.settings.plain_server_secret,
        )
    return _shown_once(new_webhook_view(made), response)


@router.post("/{webhook_id}/test", status_code=202, summary="Send a test")
def test(here: Here, caller: Submitter, webhook_id: WebhookId, response: Response) -> MessageView:
    """Send a message of the type `webhook.test`, once, also to a webhook that is disabled."""
    with here.database.write() as session:
        return _queued(send_test(session, caller.team_id, webhook_id), response)


@router.get("/{webhook_id}/messages", summary="List messages")
def get_messages(
    here: Here,
    caller: Reader,
    webhook_id: WebhookId,
    *,
    status: Annotated[DeliveryStatus | None, Query(description="Only those.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Listing[MessageView]:
    """The messages to a webhook, newest first, as far as the log goes back."""
    with here.database.read() as session:
        page = list_deliveries(session, caller.team_id, webhook_id, status=status, limit=limit, cursor=cursor)
    return listing(page, message_view)


@router.get("/{webhook_id}/messages/{message_id}", summary="Look at a message")
def get_message(here: Here, caller: Reader, webhook_id: WebhookId, message_id: MessageId) -> MessageLogView:
    """The message, its body, and what came of each try."""
    with here.database.read() as session:
        delivery = get_delivery(session, caller.team_id, webhook_id, message_id)
        return message_log_view(delivery, tries_of(session, delivery))


@router.post(
    "/{webhook_id}/messages/{message_id}/resend",
    status_code=202,
    responses=problems_of(409),
    summary="Send a message again",
)
def post_again(
    here: Here, caller: Submitter, webhook_id: WebhookId, message_id: MessageId, response: Response
) -> MessageView:
    """Send a message that has succeeded or failed once more, under its own id, with all its retries."""
    with here.database.write() as session:
        return _queued(resend(session, caller.team_id, webhook_id, message_id), response)


def _see_that_it_may_be_called(here: Services, url: str) -> None:
    try:
        destination(url, Allowed.read(here.settings.webhook_allow))
    except BadUrl as error:
        raise Invalid([FieldError("/url", f"url {error}.")]) from error


def _shown_once(view: NewWebhookView, response: Response) -> NewWebhookView:
    response.headers["Cache-Control"] = "no-store"
    return view


def _queued(delivery: Delivery, response: Response) -> MessageView:
    response.headers["Location"] = f"/v1/webhooks/{delivery.webhook_id}/messages/{delivery.id}"
    return message_view(delivery)
