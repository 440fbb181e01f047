"""The part of `secateur.Client` that is about webhooks."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import cast
from urllib.parse import quote

from secateur.answers import object_of
from secateur.calls import PAGE_SIZE, Calls, path_to
from secateur.transport import Again
from secateur.webhook_resources import Message, MessageLog, MessageStatus, NewWebhook, Webhook, WebhookEvent

DAY_S = 86_400.0


class WebhookCalls(Calls):
    """Creates, changes and tests the team's webhooks, and looks at what became of their messages."""

    def create_webhook(
        self,
        url: str,
        events: Collection[WebhookEvent] | None = None,
        *,
        name: str | None = None,
        only_named: bool = False,
        idempotency_key: str | None = None,
    ) -> NewWebhook:
        """Create a webhook; its `secret` is what messages are signed with, and cannot be had again.

        Args:
            url: Where messages go.
            events: What it hears of; None is the ends of jobs.
            name: What it is for.
            only_named: Whether it hears only of jobs whose `webhook` is its URL.
            idempotency_key: The same key and webhook give the same webhook for 24 hours.

        Raises:
            Invalid: A field is wrong; `errors` names it.
        """
        body: dict[str, object] = {"url": url, "name": name, "only_named": only_named}
        if events is not None:
            body["events"] = list(events)
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        response = self._service.send("POST", "/v1/webhooks", again=Again.ALWAYS, json=body, headers=headers)
        return cast(NewWebhook, object_of(response, "id", "secret"))

    def webhooks(self) -> Iterator[Webhook]:
        """The team's webhooks, newest first, without their secrets."""
        for entry in self._pages("/v1/webhooks", {"limit": PAGE_SIZE}):
            yield cast(Webhook, entry)

    def webhook(self, webhook_id: str) -> Webhook:
        """One webhook: whether it is enabled, and if not, why."""
        return cast(Webhook, object_of(self._get(path_to("webhooks", webhook_id)), "id", "events"))

    def update_webhook(self, webhook_id: str, changes: Mapping[str, object]) -> Webhook:
        """Change a webhook.

        Args:
            webhook_id: Which.
            changes: New values of `url`, `name`, `events`, `only_named` and `enabled`; the rest stays.

        Raises:
            Invalid: A field is wrong; `errors` names it.
        """
        path = path_to("webhooks", webhook_id)
        response = self._service.send("PATCH", path, again=Again.ALWAYS, json=dict(changes))
        return cast(Webhook, object_of(response, "id", "events"))

    def rotate_webhook(self, webhook_id: str, overlap_s: float = DAY_S) -> NewWebhook:
        """Give a webhook a new secret; the old one signs beside it for `overlap_s` seconds."""
        path = path_to("webhooks", webhook_id, "rotate")
        response = self._service.send("POST", path, again=Again.IF_NOT_SENT, json={"overlap_s": overlap_s})
        return cast(NewWebhook, object_of(response, "id", "secret"))

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook with its log; what waits is not sent."""
        self._service.send("DELETE", path_to("webhooks", webhook_id), again=Again.IF_NOT_SENT)

    def test_webhook(self, webhook_id: str) -> Message:
        """Send a message of the type `webhook.test`, once; `message` shows what came of it a second later."""
        path = path_to("webhooks", webhook_id, "test")
        return cast(Message, object_of(self._service.send("POST", path, again=Again.IF_NOT_SENT), "id", "status"))

    def messages(self, webhook_id: str, status: MessageStatus | None = None) -> Iterator[Message]:
        """The messages to a webhook, newest first, as far as the log goes back."""
        asked = {"status": status, "limit": PAGE_SIZE}
        for entry in self._pages(path_to("webhooks", webhook_id, "messages"), asked):
            yield cast(Message, entry)

    def message(self, webhook_id: str, message_id: str) -> MessageLog:
        """One message: its body, and what came of each try."""
        return cast(MessageLog, object_of(self._get(_message_path(webhook_id, message_id)), "id", "log"))

    def resend_message(self, webhook_id: str, message_id: str) -> Message:
        """Send a message once more, under its own id.

        Raises:
            Conflict: It is still being sent, or its webhook is disabled.
        """
        path = _message_path(webhook_id, message_id) + "/resend"
        return cast(Message, object_of(self._service.send("POST", path, again=Again.IF_NOT_SENT), "id", "status"))


def _message_path(webhook_id: str, message_id: str) -> str:
    return path_to("webhooks", webhook_id, "messages", quote(message_id, safe=""))
