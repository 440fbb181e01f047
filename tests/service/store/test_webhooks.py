"""Messages to webhooks: written with the events they tell of, tried by one sender at a time, given up in the end."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from store import (
    Claimed,
    Database,
    Delivery,
    DeliveryStatus,
    DeliveryTry,
    Fence,
    JobError,
    NewJob,
    NewWebhook,
    Outcome,
    Webhook,
    claim_next,
    claim_try,
    create_job,
    create_webhook,
    delete_webhook,
    due_deliveries,
    expire_deliveries,
    finish_failed,
    finish_succeeded,
    finish_try,
    get_webhook,
    live_secrets,
    open_database,
    release_preempted,
    request_cancel,
    resend,
    rotate_webhook,
    send_test,
    update_webhook,
)
from store.errors import DeliveryUnderWay, WebhookDisabled, WrongServerSecret
from store.outbox import JOB_EVENTS, RETRY_WAITS_S
from tests.service.store.garden import make_team, submit_for
from tests.service.store.virtual_clock import VirtualClock

LEASE_S = 45.0
REFUSED = Outcome(status=500, error="The receiver answered 500.")
TAKEN = Outcome(status=204)


def make_webhook(database: Database, team: str, *events: str, path: str = "", only_named: bool = False) -> str:
    """A webhook of a team, which hears of everything unless told otherwise."""
    new = NewWebhook(url=f"https://example.org/{path}", events=events or JOB_EVENTS, only_named=only_named)
    with database.write() as session:
        return create_webhook(session, team, new, limit=100)[0].id


def messages(database: Database, webhook: str) -> list[Delivery]:
    with database.read() as session:
        rows = select(Delivery).where(Delivery.webhook_id == webhook).order_by(Delivery.created_at, Delivery.id)
        return list(session.scalars(rows))


def types(database: Database, webhook: str) -> list[str]:
    return [message.type for message in messages(database, webhook)]


def claim(database: Database, message: str) -> Claimed | None:
    with database.write() as session:
        return claim_try(session, message, LEASE_S)


def attempt(database: Database, message: str, outcome: Outcome) -> DeliveryStatus | None:
    """Try a message that is due."""
    claimed = claim(database, message)
    assert claimed is not None
    with database.write() as session:
        return finish_try(session, claimed, outcome)


def look(database: Database, team: str, webhook: str) -> Webhook:
    with database.read() as session:
        return get_webhook(session, team, webhook)


@pytest.fixture
def webhook(database: Database, team: str) -> str:
    """The id of a webhook that hears of everything."""
    return make_webhook(database, team)


@pytest.fixture
def message(database: Database, team: str, webhook: str) -> str:
    """The id of a message that waits."""
    submit_for(database, team)
    return messages(database, webhook)[0].id


def test_what_happens_to_a_job_is_told_in_order(
    database: Database, team: str, submit: Callable[..., str], claim: Callable[[], object]
) -> None:
    webhook = make_webhook(database, team)
    endings = make_webhook(database, team, "job.cancelled", path="b")
    others = make_webhook(database, make_team(database, "others"))
    job_id = submit(name="a", tags={"k": "v"})
    claim()
    fence = Fence(job_id, 1)
    with database.write() as session:
        release_preempted(session, fence)
    with database.write() as session:
        request_cancel(session, team, job_id)
    assert types(database, webhook) == ["job.submitted", "job.started", "job.preempted", "job.cancelled"]
    assert types(database, endings) == ["job.cancelled"]
    assert types(database, others) == []
    told = json.loads(messages(database, webhook)[2].payload)
    assert set(told) == {"type", "timestamp", "data"}
    assert told["timestamp"].endswith("Z")
    job = {name: told["data"][name] for name in ("id", "name", "tags", "status", "attempt", "url")}
    assert job == {
        "id": job_id, "name": "a", "tags": {"k": "v"}, "status": "queued", "attempt": 1, "url": f"/v1/jobs/{job_id}",
    }  # fmt: skip
    assert told["data"]["event"] == {"seq": 3, "type": "preempted", "data": {"status": "queued"}}


def test_an_end_tells_the_result_or_the_error(database: Database, team: str, running: Fence) -> None:
    webhook = make_webhook(database, team)
    with database.write() as session:
        finish_succeeded(session, running, {"eval": {"accuracy": 0.5}}, [], [])
    submit_for(database, team)
    with database.write() as session:
        claimed = claim_next(session, "default", "worker", 60.0)
        assert claimed is not None
        finish_failed(session, claimed.fence, JobError("broke", "It broke.", "line 1"))
    succeeded, *_, failed = [json.loads(each.payload)["data"] for each in messages(database, webhook)]
    assert (succeeded["result"], succeeded["error"]) == ({"eval": {"accuracy": 0.5}}, None)
    assert (failed["result"], failed["error"]) == (None, {"code": "broke", "detail": "It broke."}), "no log"


def test_what_is_undone_is_not_told(database: Database, team: str, running: Fence) -> None:
    webhook = make_webhook(database, team)

    def fail_and_break() -> None:
        with database.write() as session:
            finish_failed(session, running, JobError("broke", "It broke."))
            assert session.scalar(select(func.count()).select_from(Delivery)) == 1
            raise RuntimeError("and then the worker broke")

    with pytest.raises(RuntimeError):
        fail_and_break()
    assert types(database, webhook) == []


def test_who_hears_of_named_jobs_only(database: Database, team: str) -> None:
    webhook = make_webhook(database, team, "job.submitted", path="named", only_named=True)
    submit_for(database, team)
    for url in ("https://example.org/named", "https://example.org/other"):
        new = NewJob(method="movement", target_sparsity=0.9, spec={"webhook": url})
        with database.write() as session:
            named = create_job(session, team, new).job.id
        if url.endswith("named"):
            expected = named
    assert [message.job_id for message in messages(database, webhook)] == [expected]


def test_a_disabled_webhook_hears_of_nothing_and_what_waited_is_given_up(
    database: Database, team: str, webhook: str, message: str
) -> None:
    with database.write() as session:
        update_webhook(session, team, webhook, {"enabled": False})
    submit_for(database, team)
    assert claim(database, message) is None
    [given_up] = messages(database, webhook)
    assert given_up.status is DeliveryStatus.FAILED
    with database.write() as session, pytest.raises(WebhookDisabled):
        resend(session, team, webhook, message)
    with database.write() as session:
        test = send_test(session, team, webhook).id
    assert attempt(database, test, TAKEN) is DeliveryStatus.SUCCEEDED, "a test goes out all the same"


def test_of_many_senders_one_has_a_try(database: Database, message: str) -> None:
    barrier = threading.Barrier(6)

    def race(_: int) -> Claimed | None:
        barrier.wait()
        return claim(database, message)

    with ThreadPoolExecutor(6) as pool:
        won = [claimed for claimed in pool.map(race, range(6)) if claimed]
    assert [claimed.number for claimed in won] == [1]


def test_a_sender_that_dies_leaves_the_message_to_the_next(
    clock: VirtualClock, database: Database, webhook: str, message: str
) -> None:
    zombie = claim(database, message)
    assert zombie is not None
    assert claim(database, message) is None
    clock.wait_until(clock.now + timedelta(seconds=LEASE_S + 0.001))
    second = claim(database, message)
    assert second is not None
    assert (second.id, second.number, second.payload) == (zombie.id, 2, zombie.payload), "the same message"
    with database.write() as session:
        assert finish_try(session, zombie, REFUSED) is None, "what follows is the second one's to say"
    with database.write() as session:
        assert finish_try(session, second, TAKEN) is DeliveryStatus.SUCCEEDED
    with database.read() as session:
        tries = session.scalars(select(DeliveryTry).order_by(DeliveryTry.number)).all()
    assert [(each.status, each.error) for each in tries] == [(500, REFUSED.error), (204, None)]
    assert messages(database, webhook)[0].tries == 2


def test_a_try_that_nobody_finished_says_so(clock: VirtualClock, database: Database, message: str) -> None:
    claim(database, message)
    clock.wait_until(clock.now + timedelta(seconds=LEASE_S + 0.001))
    claim(database, message)
    with database.read() as session:
        first, second = session.scalars(select(DeliveryTry).order_by(DeliveryTry.number)).all()
    assert "may have arrived" in str(first.error)
    assert (first.duration_s, second.error) == (None, None)


def test_a_message_at_which_every_sender_dies_is_given_up(
    clock: VirtualClock, database: Database, webhook: str, message: str
) -> None:
    def next_try() -> Claimed | None:
        clock.wait_until(messages(database, webhook)[0].next_try_at + timedelta(milliseconds=1))
        return claim(database, message)

    begun, sent = clock.now, 0
    while messages(database, webhook)[0].status is DeliveryStatus.PENDING:
        if next_try():  # and nothing is heard of it again
            sent += 1
        assert sent < 100
    assert sent == 4 + len(RETRY_WAITS_S), "four that are forgiven, and one after each wait"
    assert clock.now - begun >= timedelta(seconds=sum(RETRY_WAITS_S))
    with database.read() as session:
        last = session.scalars(select(DeliveryTry.error).order_by(DeliveryTry.number.desc())).first()
    assert "ended with their sender" in str(last)


def test_waits_grow_until_it_is_given_up_and_by_hand_begin_anew(
    clock: VirtualClock, database: Database, team: str, webhook: str, message: str
) -> None:
    for wait_s in RETRY_WAITS_S:
        assert attempt(database, message, REFUSED) is DeliveryStatus.PENDING
        waits = (messages(database, webhook)[0].next_try_at - clock.now).total_seconds()
        assert wait_s - 0.01 <= waits <= 1.2 * wait_s + 0.01
        assert claim(database, message) is None
        clock.wait_until(messages(database, webhook)[0].next_try_at)
    with database.write() as session, pytest.raises(DeliveryUnderWay):
        resend(session, team, webhook, message)
    assert attempt(database, message, REFUSED) is DeliveryStatus.FAILED
    assert claim(database, message) is None
    with database.write() as session:
        resend(session, team, webhook, message)
    assert attempt(database, message, REFUSED) is DeliveryStatus.PENDING
    [again] = messages(database, webhook)
    assert (again.tries, again.retries_left) == (len(RETRY_WAITS_S) + 2, len(RETRY_WAITS_S) - 1)


def test_a_receiver_may_ask_for_time_within_reason(
    clock: VirtualClock, database: Database, webhook: str, message: str
) -> None:
    for asked_s, waits_s in ((1000.0, 1000.0), (10.0, 300.0), (1e9, 86_400.0)):
        attempt(database, message, Outcome(status=503, error="Busy.", retry_after_s=asked_s))
        next_try_at = messages(database, webhook)[0].next_try_at
        assert waits_s - 0.01 <= (next_try_at - clock.now).total_seconds() <= 1.2 * waits_s + 0.01
        clock.wait_until(next_try_at)


def test_gone_disables_the_webhook_at_once(database: Database, team: str, webhook: str, message: str) -> None:
    assert attempt(database, message, Outcome(status=410, error="Gone.")) is DeliveryStatus.FAILED
    found = look(database, team, webhook)
    assert (found.enabled, found.disabled_at is None) == (False, False)
    assert "410 Gone" in str(found.disabled_reason)


def test_days_without_a_success_disable_it_and_a_success_begins_anew(
    clock: VirtualClock, database: Database, team: str, webhook: str, message: str
) -> None:
    attempt(database, message, REFUSED)
    begun = clock.now
    assert look(database, team, webhook).failing_since == begun
    clock.wait_until(begun + timedelta(days=5) - timedelta(seconds=1))
    attempt(database, message, TAKEN)
    assert look(database, team, webhook).failing_since is None
    with database.write() as session:
        resend(session, team, webhook, message)
    attempt(database, message, REFUSED)
    clock.wait_until(clock.now + timedelta(days=5))
    assert look(database, team, webhook).enabled
    attempt(database, message, REFUSED)
    found = look(database, team, webhook)
    assert not found.enabled
    assert "Nothing has been taken for 5 days. The last error: The receiver answered 500." in str(found.disabled_reason)
    with database.write() as session:
        update_webhook(session, team, webhook, {"enabled": True})
    found = look(database, team, webhook)
    assert (found.enabled, found.failing_since, found.disabled_reason) == (True, None, None)


def test_one_webhooks_messages_do_not_hold_up_anothers(database: Database, team: str, webhook: str) -> None:
    for _ in range(5):
        submit_for(database, team)
    other = make_webhook(database, team, path="other")
    submit_for(database, team)
    with database.read() as session:
        due = [webhook_id for _, webhook_id in due_deliveries(session, at_once=2)]
    assert due == [webhook, webhook, other]


def test_the_log_is_kept_for_a_while(clock: VirtualClock, database: Database, webhook: str, message: str) -> None:
    attempt(database, message, TAKEN)
    clock.wait_until(clock.now + timedelta(seconds=100))
    with database.write() as session:
        assert expire_deliveries(session, 101.0) == 0
        assert expire_deliveries(session, 100.0) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(DeliveryTry)) == 0
    assert messages(database, webhook) == []


def test_deleting_a_webhook_stops_nobody(database: Database, team: str, webhook: str, message: str) -> None:
    claimed = claim(database, message)
    assert claimed is not None
    with database.write() as session:
        delete_webhook(session, team, webhook)
    with database.write() as session:
        assert finish_try(session, claimed, REFUSED) is None
    submit_for(database, team)


@pytest.mark.postgres
def test_a_job_goes_on_while_its_webhook_is_deleted(postgres_url: str) -> None:
    database = open_database(postgres_url)
    team = make_team(database, "team")
    webhook = make_webhook(database, team)
    deleted, done = threading.Event(), threading.Event()

    def delete() -> None:
        with database.write() as session:
            delete_webhook(session, team, webhook)
            deleted.set()
            done.wait(0.3)

    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(delete)
        deleted.wait()
        submit_for(database, team)  # waits for the end of the deletion, and is not broken by it
        done.set()
        deleting.result()
    database.close()


def test_secrets_overlap_as_long_as_was_asked(clock: VirtualClock, database: Database, team: str) -> None:
    new = NewWebhook(url="https://example.org/", events=JOB_EVENTS)
    with database.write() as session:
        webhook, first = create_webhook(session, team, new, limit=1, server_secret="a" * 16)

    def rotate(overlap_s: float) -> str:
        with database.write() as session:
            return rotate_webhook(session, team, webhook.id, overlap_s=overlap_s, server_secret="a" * 16)[1]

    def live(server_secret: str = "a" * 16) -> list[str]:
        with database.read() as session:
            return list(live_secrets(session, webhook.id, server_secret))

    second = rotate(100.0)
    assert live() == [second, first]
    third = rotate(50.0)
    assert live() == [third, second, first]
    clock.wait_until(clock.now + timedelta(seconds=50))
    assert live() == [third]
    newest = [rotate(1000.0) for _ in range(6)]
    assert live() == newest[:0:-1], "five at most"
    last = rotate(0.0)
    assert live() == [last]
    for wrong in ("b" * 16, ""):
        with pytest.raises(WrongServerSecret):
            live(wrong)
