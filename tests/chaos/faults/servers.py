"""Broker and database: killed, restarted empty, hung, flushed, frozen."""

import random

from redis import Redis

from tests.chaos.faults.fault import Fault, Hit
from tests.chaos.stage import Stage


def _kill_broker(stage: Stage, chance: random.Random) -> Hit:
    stage.kill("broker")  # it keeps nothing on disk
    return Hit()


def _hang_broker(stage: Stage, chance: random.Random) -> Hit:
    # The longest is past the clients' socket timeout.
    stage.pause(("broker",), chance.uniform(1.0, 8.0))
    return Hit()


def _flush_broker(stage: Stage, chance: random.Random) -> Hit:
    with Redis.from_url(stage.broker_url) as broker:
        broker.flushall()
    return Hit()


def _freeze_database(stage: Stage, chance: random.Random) -> Hit:
    stage.database.freeze(chance.uniform(0.5, 7.0))
    return Hit()


def _crash_database(stage: Stage, chance: random.Random) -> Hit:
    stage.database.crash()
    return Hit()


SERVERS = (
    Fault("broker restarted empty", _kill_broker),
    Fault("broker hung", _hang_broker),
    Fault("broker flushed", _flush_broker),
    Fault("database frozen", _freeze_database),
    Fault("database crashed", _crash_database, on=frozenset({"postgres"})),
)
