"""What an attack is, and when it was withstood."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.abuse.victim import MIB, Memory, Victim
from tests.abuse.wire import CLOSED

#: What an answer may be: served, refused for the sender's fault, or put off.
_GOOD = ("2", "3", "4", "503")

Act = Callable[[Victim, int], Awaitable[Counter[str]]]
"""Attacks so many times; returns the answers by status."""


@dataclass(frozen=True)
class Attack:
    """One way to abuse the service.

    Attributes:
        name: in a few words.
        act: does it.
        times: how often in a whole run.
        few: how often in the slice of the test suite; 0 leaves it out.
        may_close: whether some may be hung up on instead of answered, and why.
    """

    name: str
    act: Act
    times: int
    few: int
    may_close: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    attack: Attack
    sent: int
    answers: Counter[str]
    peak_mib: float
    grew_mib: float
    seconds: float
    alive: bool

    @property
    def withstood(self) -> bool:
        """Whether everything was answered, nothing with a fault of ours, within bounds, and the process lives."""
        good = all(status.startswith(_GOOD) or (status == CLOSED and self.attack.may_close) for status in self.answers)
        return self.alive and good and self.grew_mib < MOST_MIB and self.answers.total() >= self.sent

    @property
    def row(self) -> str:
        """A line of the table."""
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(self.answers.items()))
        mark = "" if self.withstood else "  NOT WITHSTOOD"
        return f"{self.attack.name:34} {self.sent:6} {self.peak_mib:9.0f} {self.seconds:8.1f}  {answers}{mark}"


#: So much more than before, in MiB, the process may hold while it is attacked.
MOST_MIB = 300.0

HEADING = f"{'attack':34} {'sent':>6} {'peak MiB':>9} {'seconds':>8}  answers"


def carry_out(attack: Attack, victim: Victim, times: int) -> Outcome:
    """Attack, and watch."""
    began = time.monotonic()
    with Memory(victim.process) as memory:
        answers = asyncio.run(_act(attack, victim, times))
        alive = victim.answers()
    return Outcome(
        attack,
        times,
        answers,
        memory.peak / MIB,
        (memory.peak - memory.before) / MIB,
        time.monotonic() - began,
        alive,
    )


async def _act(attack: Attack, victim: Victim, times: int) -> Counter[str]:
    return await attack.act(victim, times)
