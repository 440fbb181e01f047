"""`secateur webhooks create`, `list`, `show`, `update`, `rotate`, `delete`, `test`, `messages`, `message`, `resend`."""

import time
from typing import Annotated, cast

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.keys import HOUR_S
from secateur.cli.output import (
    AsJson,
    age_text,
    print_deleted,
    print_json,
    results,
    say,
    seconds_text,
    status_text,
    table,
    time_text,
)
from secateur.client import Client
from secateur.webhook_resources import Message, MessageLog, MessageStatus, NewWebhook, Webhook, WebhookEvent

app = typer.Typer(help="Be told of your team's jobs at a URL of yours.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, whk_….", show_default=False)]
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE", help="The message's id, msg_….", show_default=False)]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="What it hears of, such as job.failed; may be repeated.", show_default=False),
]
Name = Annotated[str | None, typer.Option(help="What it is for.", show_default=False)]

#: So long `test` waits for what comes of it: the service's own patience with receivers is a minute at most.
_TEST_S = 75.0
_LOOK_S = 0.5


@app.command()
def create(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages go.", show_default=False)],
    *,
    event: Events = None,
    name: Name = None,
    only_named: Annotated[
        bool, typer.Option("--only-named", help="Let it hear only of jobs whose spec names its URL.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a webhook and print the secret that its messages are signed with, this once."""
    with connect(context) as client:
        made = client.create_webhook(url, cast(list[WebhookEvent] | None, event), name=name, only_named=only_named)
    _show_once(made, f"Created {made['id']}", as_json=as_json)


@app.command("list")
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the team's webhooks, newest first."""
    with connect(context) as client:
        webhooks = list(client.webhooks())
    if as_json:
        print_json(webhooks)
        return
    listing = table("id", "state", "age", "name", "url")
    for each in webhooks:
        name = escape(each["name"] or "")
        listing.add_row(each["id"], _state(each), age_text(each["created_at"]), name, escape(each["url"]))
    results.print(listing)


@app.command()
def show(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show a webhook, and if it is disabled, why."""
    with connect(context) as client:
        _show(client.webhook(webhook_id), as_json=as_json)


@app.command()
def update(
    context: typer.Context,
    webhook_id: WebhookId,
    *,
    url: Annotated[str | None, typer.Option(help="Where messages go from now on.", show_default=False)] = None,
    event: Events = None,
    name: Name = None,
    only_named: Annotated[
        bool | None,
        typer.Option("--only-named/--all-jobs", help="Whether it hears only of jobs that name it.", show_default=False),
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it hears of anything.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a webhook; the rest stays."""
    given = {"url": url, "events": event or None, "name": name, "only_named": only_named, "enabled": enabled}
    changes = {field: value for field, value in given.items() if value is not None}
    with connect(context) as client:
        _show(client.update_webhook(webhook_id, changes), as_json=as_json)


@app.command()
def rotate(
    context: typer.Context,
    webhook_id: WebhookId,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old secret signs beside the new one.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Give a webhook a new secret, and print it, this once."""
    with connect(context) as client:
        made = client.rotate_webhook(webhook_id, overlap_hours * HOUR_S)
    _show_once(made, f"{made['id']} has a new secret", as_json=as_json)


@app.command()
def delete(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Delete a webhook with its log; what waits is not sent."""
    with connect(context) as client:
        client.delete_webhook(webhook_id)
    print_deleted(webhook_id, as_json=as_json)


@app.command("test")
def send_test(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Send a test and show what came of it; the exit code is 1 unless it was taken."""
    with connect(context) as client:
        tested = _ended(client, webhook_id, client.test_webhook(webhook_id))
    _show_log(tested, as_json=as_json)
    if tested["status"] != "succeeded":
        raise typer.Exit(1)


@app.command()
def messages(
    context: typer.Context,
    webhook_id: WebhookId,
    status: Annotated[
        str | None, typer.Option(help="Only those that are pending, succeeded or failed.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the messages to a webhook, newest first."""
    with connect(context) as client:
        found = list(client.messages(webhook_id, cast(MessageStatus | None, status)))
    if as_json:
        print_json(found)
        return
    listing = table("id", "status", "tries", "age", "next try", "job", "type", right=("tries",))
    for each in found:
        listing.add_row(
            each["id"],
            status_text(each["status"]),
            str(each["tries"]),
            age_text(each["created_at"]),
            time_text(each["next_try_at"]),
            each["job"] or "–",
            each["type"],
        )
    results.print(listing)


@app.command()
def message(context: typer.Context, webhook_id: WebhookId, message_id: MessageId, as_json: AsJson = False) -> None:
    """Show a message, its body and what came of each try."""
    with connect(context) as client:
        _show_log(client.message(webhook_id, message_id), as_json=as_json)


@app.command()
def resend(context: typer.Context, webhook_id: WebhookId, message_id: MessageId, as_json: AsJson = False) -> None:
    """Send a message once more, under its own id."""
    with connect(context) as client:
        queued = client.resend_message(webhook_id, message_id)
    if as_json:
        print_json(queued)
    else:
        say(f"{message_id} is sent again. What comes of it: secateur webhooks message {webhook_id} {message_id}")


def _ended(client: Client, webhook_id: str, queued: Message) -> MessageLog:
    """The message when it has ended, or has taken too long for somebody who waits."""
    until = time.monotonic() + _TEST_S
    while (found := client.message(webhook_id, queued["id"]))["status"] == "pending" and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return found


def _show_once(made: NewWebhook, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    results.print(made["secret"], soft_wrap=True)
    say(f"{what}. The secret is shown this once.")


def _show(webhook: Webhook, *, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
        return
    whose = "jobs that name it" if webhook["only_named"] else "all jobs"
    results.print(f"{webhook['id']} is {_state(webhook)}: {escape(webhook['url'])}", soft_wrap=True)
    results.print(f"It hears of {' '.join(webhook['events'])} of {whose}.", soft_wrap=True)
    if webhook["disabled_reason"]:
        results.print(escape(webhook["disabled_reason"]), soft_wrap=True)


def _show_log(found: MessageLog, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    results.print(f"{found['id']} ({found['type']}) is {status_text(found['status'])}.", soft_wrap=True)
    listing = table("try", "at", "took", "answer", "error", right=("try",))
    for each in found["log"]:
        listing.add_row(
            str(each["number"]),
            time_text(each["started_at"]),
            "–" if each["duration_s"] is None else seconds_text(each["duration_s"]),
            str(each["status"] or "–"),
            escape(each["error"] or ""),
        )
    results.print(listing)
    results.print(escape(found["payload"]), soft_wrap=True)


def _state(webhook: Webhook) -> str:
    if not webhook["enabled"]:
        return "[red]disabled[/]"
    return "[yellow]failing[/]" if webhook["failing_since"] else "[green]enabled[/]"
