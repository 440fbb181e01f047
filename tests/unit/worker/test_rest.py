"""How long a worker leaves jobs to others whose trainers die before they have begun."""

import pytest

from worker import rest as resting
from worker.rest import Rest


class Clock:
    """Time that stands until it is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_it_grows_to_five_minutes_and_ends_with_a_trainer_that_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(resting, "time", clock)
    rest = Rest()
    assert rest.is_over()
    assert [rest.note(began=False) for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    clock.now += 299
    assert not rest.is_over()
    clock.now += 1
    assert rest.is_over()
    assert rest.note(began=True) == 0
    assert rest.is_over()
    assert rest.note(began=False) == 5
