"""Senders, with real databases, receivers and processes: at least once, by one of them, and without a secret told."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook as Verifier

from store import (
    Database,
    Delivery,
    DeliveryStatus,
    DeliveryTry,
    NewWebhook,
    Settings,
    create_webhook,
    get_webhook,
    rotate_webhook,
    send_test,
    update_webhook,
)
from store.clock import db_now
from store.outbox import JOB_EVENTS
from store.tables import Base
from tests.receiver import Receiver, Reply, receiver
from tests.service.store.garden import make_team, submit_for
from tests.service.worker.running import Running, until
from worker.sender import SENDERS_OF_ONE, Sender

SERVER_SECRET = "the-servers-own-secret-5b1e"


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiver() as made:
        yield made


@pytest.fixture
def team(database: Database) -> str:
    """The id of a team."""
    return make_team(database, "team")


def settings(**others: object) -> Settings:
    fields = {"webhook_allow": "127.0.0.0/8", "webhook_timeout_s": 5.0, "server_secret": SecretStr(SERVER_SECRET)}
    return Settings.model_validate({**fields, **others})


def make_webhook(database: Database, team: str, url: str) -> tuple[str, str]:
    """A webhook that hears of everything: its id and its secret."""
    new = NewWebhook(url=url, events=JOB_EVENTS)
    with database.write() as session:
        made, secret = create_webhook(session, team, new, limit=9, server_secret=SERVER_SECRET)
    return made.id, secret


def send_due(database: Database, **others: object) -> None:
    sender = Sender(database, settings(**others))
    sender.send_due()
    sender.close()


def statuses(database: Database) -> list[DeliveryStatus]:
    with database.read() as session:
        return list(session.scalars(select(Delivery.status).order_by(Delivery.id)))


def test_a_message_comes_signed_and_after_a_rotation_with_both(database: Database, team: str, there: Receiver) -> None:
    webhook, old = make_webhook(database, team, there.url)
    job = submit_for(database, team)
    with database.write() as session:
        _, new = rotate_webhook(session, team, webhook, overlap_s=60.0, server_secret=SERVER_SECRET)
    send_due(database)
    send_due(database)
    [got] = there.got
    for secret in (old, new):
        assert Verifier(secret).verify(got.body, got.headers)["data"]["id"] == job
    with database.read() as session:
        [tried] = session.scalars(select(DeliveryTry))
    assert (tried.number, tried.status, tried.response, tried.error) == (1, 200, "thanks", None)
    assert statuses(database) == [DeliveryStatus.SUCCEEDED]


def test_two_senders_at_once_send_every_message_once(database: Database, team: str, there: Receiver) -> None:
    make_webhook(database, team, there.url)
    for _ in range(20):
        submit_for(database, team)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: send_due(database), range(2)))
    assert len(there.ids) == len(set(there.ids)) == 20
    assert set(statuses(database)) == {DeliveryStatus.SUCCEEDED}


def test_a_slow_receiver_holds_up_its_own(database: Database, team: str, there: Receiver) -> None:
    there.reply = Reply(pause_s=1.0)
    make_webhook(database, team, there.url)
    for _ in range(12):
        submit_for(database, team)
    with receiver() as quick:
        make_webhook(database, team, quick.url)
        submit_for(database, team)
        sender = Sender(database, settings())
        sender.look()
        until(lambda: quick.got, 0.9)
        sender.close()
    assert len(there.got) == SENDERS_OF_ONE


def test_what_fails_waits_and_what_is_gone_disables(database: Database, team: str, there: Receiver) -> None:
    webhook, _ = make_webhook(database, team, there.url)
    submit_for(database, team)
    there.reply = Reply(503, {"Retry-After": "1000"})
    send_due(database)
    with database.write() as session:
        assert session.scalar(select(Delivery.next_try_at > db_now(990.0)))
        session.execute(update(Delivery).values(next_try_at=db_now()))
    there.reply = Reply(410)
    send_due(database)
    assert statuses(database) == [DeliveryStatus.FAILED]
    with database.read() as session:
        assert "410 Gone" in str(get_webhook(session, team, webhook).disabled_reason)
    assert there.ids[0] == there.ids[1], "every try under the same id"


def reconciler(database_url: str, folder: Path, *arguments: str, **variables: object) -> Running:
    fields = {
        "database_url": database_url,
        "broker_url": "redis://127.0.0.1:1/0",
        "server_secret": SERVER_SECRET,
        "webhook_allow": "127.0.0.1",
        **variables,
    }
    environment = os.environ | {f"SECATEUR_{name.upper()}": str(value) for name, value in fields.items()}
    command = [sys.executable, "-m", "worker.reconciler", *arguments]
    root = Path(__file__).parents[3]
    return Running(command, {**environment, "PYTHONPATH": str(root)}, folder, folder / "reconciler.log")


def test_a_killed_senders_message_is_sent_again(
    sqlite_database: Database, sqlite_url: str, there: Receiver, tmp_path: Path
) -> None:
    team = make_team(sqlite_database, "team")
    webhook, _ = make_webhook(sqlite_database, team, there.url)
    with sqlite_database.write() as session:
        send_test(session, team, webhook)
    there.reply = Reply(pause_s=5.0)
    killed = reconciler(sqlite_url, tmp_path)
    until(lambda: there.got, told=killed.log)
    killed.signal(signal.SIGKILL)
    killed.close()
    there.reply = Reply()
    reconciler(sqlite_url, tmp_path, "--once").ends(60)
    assert len(there.got) == 1, "the claim has not ended"
    with sqlite_database.write() as session:
        session.execute(update(Delivery).values(next_try_at=db_now()))
    next_one = reconciler(sqlite_url, tmp_path)
    until(lambda: statuses(sqlite_database) == [DeliveryStatus.SUCCEEDED], told=next_one.log)
    next_one.signal(signal.SIGTERM)
    assert next_one.ends(60) == 0
    assert there.ids == [there.ids[0]] * 2
    with sqlite_database.read() as session:
        first, second = session.scalars(select(DeliveryTry).order_by(DeliveryTry.number))
    assert "may have arrived" in str(first.error)
    assert (second.status, second.error) == (200, None)
    assert SERVER_SECRET not in next_one.log()


def what_is_kept(database: Database) -> tuple[list[str], str]:
    """What the tries failed of, and all that is in the database."""
    with database.read() as session:
        errors = [str(error) for error in session.scalars(select(DeliveryTry.error).order_by(DeliveryTry.started_at))]
        connection = session.connection()
        rows = [row for table in Base.metadata.sorted_tables for row in connection.execute(select(table))]
    return errors, "".join(map(str, rows))


def test_nothing_tells_a_secret(
    database: Database, team: str, there: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what is kept, not what is logged, not what is said of what goes wrong; nor the URL, which may hold one."""
    webhook, secret = make_webhook(database, team, there.url.replace("a=b", "token=t0ken"))
    with database.write() as session:
        _, newer = rotate_webhook(session, team, webhook, overlap_s=60.0, server_secret=SERVER_SECRET)

    def send_one(reply: Reply | None = None, **others: object) -> None:
        there.reply = reply or there.reply
        with database.write() as session:
            send_test(session, team, webhook)
        send_due(database, **others)

    send_one(Reply(body=secret.encode()))
    send_one(Reply(500, body=newer.encode()))
    send_one(Reply(302, {"Location": secret}))
    send_one(server_secret=SecretStr("another-server-secret"))
    send_one(webhook_allow=None)
    with receiver() as gone, database.write() as session:
        update_webhook(session, team, webhook, {"url": gone.url.replace("a=b", "token=t0ken")})
    send_one()
    errors, kept = what_is_kept(database)
    assert [errors[0], len(errors)] == ["None", 6]
    assert "SECATEUR_SERVER_SECRET" in errors[3]
    log = "".join(capsys.readouterr())
    assert log.count("webhook_tried") == len(errors)
    bare = [each.removeprefix("whsec_") for each in (secret, newer)]
    for told in (SERVER_SECRET, *bare):
        assert told not in log + kept
    assert "t0ken" not in log + "".join(errors)


def test_many_messages_do_not_wait_for_the_next_look(sqlite_database: Database, there: Receiver) -> None:
    team = make_team(sqlite_database, "team")
    webhook, _ = make_webhook(sqlite_database, team, there.url)
    with sqlite_database.write() as session:
        for _ in range(40):
            send_test(session, team, webhook)
    with Sender(sqlite_database, settings()):
        until(lambda: len(there.got) == 40, 15.0)  # at two a second it would be 20
    assert len(set(there.ids)) == 40
