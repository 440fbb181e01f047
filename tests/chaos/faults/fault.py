"""What a fault is."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.stage import Kind, Stage

Affected = Literal["live jobs", "api"]


@dataclass(frozen=True)
class Hit:
    """What a fault that is over has done.

    Attributes:
        jobs: the jobs that it hit; None: all that were running.
    """

    jobs: frozenset[str] | None = None


Inject = Callable[[Stage, random.Random], Hit]
EVERYWHERE: frozenset[Kind] = frozenset({"sqlite", "postgres"})


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: what the table calls it.
        inject: does it, and returns when its cause is gone: what was stopped goes on, what was killed is started again.
        affected: whose recovery is timed: the jobs', or the API's.
        on: the kinds of database with which it makes sense.
        harsh: whether it ends attempts: one at a time, or no job would ever get to its end.
        impossible: why it cannot be done on this machine; None: it can.
    """

    name: str
    inject: Inject
    affected: Affected = "live jobs"
    on: frozenset[Kind] = EVERYWHERE
    harsh: bool = False
    impossible: Callable[[Stage], str | None] = lambda stage: None
