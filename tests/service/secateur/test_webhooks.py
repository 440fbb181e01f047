"""Webhooks from a terminal and from Python, through a whole service."""

from typing import Any, cast

import pytest
from standardwebhooks.webhooks import Webhook

from secateur import Client, Conflict
from tests.receiver import Reply, receiver
from tests.service.secateur.up import Up, printed, secateur, shown, until


def test_a_webhook_is_made_tested_changed_and_deleted(service: Up, client: Client) -> None:
    with receiver() as there:
        made = secateur(service.data_dir, "webhooks", "create", there.url, "--event", "job.failed", "--name", "ci")
        secret = made.out.strip()
        [webhook] = client.webhooks()
        assert (webhook["events"], webhook["name"], webhook["url"]) == (["job.failed"], "ci", there.url)
        assert (secret.startswith("whsec_"), webhook["id"] in made.err) == (True, True)
        tested = printed(service, "webhooks", "test", webhook["id"])
        assert (tested["status"], tested["log"][0]["response"]) == ("succeeded", "thanks")
        rotated = printed(service, "webhooks", "rotate", webhook["id"], "--overlap-hours", "1")
        there.reply = Reply(500)
        failed = secateur(service.data_dir, "webhooks", "test", webhook["id"])
        assert (failed.code, "The receiver answered 500" in failed.out) == (1, True), failed
        for each in (secret, rotated["secret"]):
            assert Webhook(each).verify(there.got[1].body, there.got[1].headers)["type"] == "webhook.test"
        [message] = client.messages(webhook["id"], "failed")
        assert message["id"] in shown(service, "webhooks", "messages", webhook["id"], "--status", "failed")
        there.reply = Reply()
        secateur(service.data_dir, "webhooks", "resend", webhook["id"], message["id"])
        until(lambda: client.message(webhook["id"], message["id"])["status"] == "succeeded")
        assert "500" in shown(service, "webhooks", "message", webhook["id"], message["id"])
    changed = printed(
        service, "webhooks", "update", webhook["id"], "--disable", "--only-named", "--event", "job.started"
    )
    assert (changed["enabled"], changed["only_named"], changed["events"]) == (False, True, ["job.started"])
    for command in ("list", "show"):
        words = [webhook["id"]] if command == "show" else []
        assert "disabled" in shown(service, "webhooks", command, *words)
    assert printed(service, "webhooks", "delete", webhook["id"]) == {"id": webhook["id"], "deleted": True}
    assert list(client.webhooks()) == []


@pytest.mark.slow
def test_a_job_tells_of_its_end(client: Client, waiting_spec: dict[str, object]) -> None:
    with receiver() as there:
        webhook = client.create_webhook(there.url, only_named=True, idempotency_key="once")
        assert client.create_webhook(there.url, only_named=True, idempotency_key="once") == webhook
        job = client.submit({**waiting_spec, "webhook": there.url})
        client.cancel(job["id"])
        until(lambda: there.got)
        [got] = there.got
        told = cast(dict[str, Any], Webhook(webhook["secret"]).verify(got.body, got.headers))
        assert (told["type"], told["data"]["id"]) == ("job.cancelled", job["id"])
        assert [message["job"] for message in client.messages(webhook["id"])] == [job["id"]]
        client.update_webhook(webhook["id"], {"enabled": False})
        with pytest.raises(Conflict):
            client.resend_message(webhook["id"], got.headers["webhook-id"])
    client.delete_webhook(webhook["id"])
