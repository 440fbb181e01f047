"""What is around the processes: the disk, the clock, and who else may ring the doorbell."""

import json
import random
import time

from celery import Celery
from redis import Redis

from store.doorbell import CELERY, DEFAULT_QUEUE, TASK
from tests.chaos.faults.fault import Fault, Hit
from tests.chaos.stage import Stage

_HOUR_S = 3600.0
_OFFSETS_S = (_HOUR_S, -_HOUR_S, 24 * _HOUR_S)


def _fill_scratch(stage: Stage, chance: random.Random) -> Hit:
    stage.scratch.fill()
    try:
        time.sleep(chance.uniform(1.0, 8.0))
    finally:
        stage.scratch.free()
    return Hit()


def _jump_clock(stage: Stage, chance: random.Random) -> Hit:
    stage.set_clock(chance.choice(_OFFSETS_S))
    time.sleep(chance.uniform(2.0, 10.0))
    stage.set_clock(0.0)  # the second jump, in the other direction
    return Hit()


def _ring_often(stage: Stage, chance: random.Random) -> Hit:
    with Celery("chaos", broker=stage.broker_url, set_as_current=False) as bell:
        bell.conf.update(CELERY)
        for _ in range(chance.randint(5, 30)):
            bell.send_task(TASK, args=[DEFAULT_QUEUE], queue=DEFAULT_QUEUE, retry=False, ignore_result=True)
    return Hit()


def _forge_doorbells(stage: Stage, chance: random.Random) -> Hit:
    """What is no message, what is no message of ours, and what is ours with nonsense in it."""
    empty = {"body": "e30=", "headers": {}, "properties": {}}
    rubbish = [chance.randbytes(40), b"{}", b"[1]", b"null", b"\xff\x00", json.dumps(empty).encode()]
    with Redis.from_url(stage.broker_url) as broker:
        for item in chance.sample(rubbish, k=4):
            broker.lpush(DEFAULT_QUEUE, item)
    nonsense: list[tuple[str, list[object]]] = [
        (TASK, []),
        (TASK, [1, 2, 3]),
        (TASK, [{"queue": ["default"]}]),
        (TASK, ["no-such-queue"]),
        (TASK, ["\x00'; DROP TABLE job; --"]),
        ("secateur.no_such_task", ["default"]),
    ]
    with Celery("chaos", broker=stage.broker_url, set_as_current=False) as bell:
        bell.conf.update(CELERY)
        for task, arguments in chance.sample(nonsense, k=4):
            bell.send_task(task, args=arguments, queue=DEFAULT_QUEUE, retry=False, ignore_result=True)
    return Hit()


def _replace_queue(stage: Stage, chance: random.Random) -> Hit:
    """Put something under the queue's name that is no list: every push and pop is refused (WRONGTYPE)."""
    with Redis.from_url(stage.broker_url) as broker:
        broker.set(DEFAULT_QUEUE, "not a list")
        time.sleep(chance.uniform(0.5, 4.0))
        broker.delete(DEFAULT_QUEUE)
    return Hit()


SURROUNDINGS = (
    Fault("scratch disk full", _fill_scratch, harsh=True, impossible=lambda stage: stage.scratch.why_not),
    Fault("one worker's clock jumped", _jump_clock),
    Fault("doorbells doubled", _ring_often),
    Fault("doorbells forged", _forge_doorbells),
    Fault("queue no list", _replace_queue),
)
