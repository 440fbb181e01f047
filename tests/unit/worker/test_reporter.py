"""What a trainer reports: how long it will take, not too often, and not past a stop."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from pruning_core import Progress
from store import Database, Fence, FenceLost, open_database
from worker import reporter as reporting
from worker.pulse import Pulse
from worker.reporter import Pace, Reporter, Stopped

FENCE = Fence("job_1", 1)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reporting, "time", made)
    return made


@pytest.fixture
def pulse(tmp_path: Path) -> Pulse:
    return Pulse(tmp_path / "pulse")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield made
    made.close()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What reached the store."""
    rows: list[dict[str, Any]] = []

    def record(session: object, fence: Fence, **fields: Any) -> None:
        rows.append(fields)

    monkeypatch.setattr(reporting, "record_progress", record)
    return rows


def at(step: int, total: int = 100, phase: Any = "pruning", **metrics: float) -> Progress:
    return Progress(phase, step, total, step, 1.0, metrics)


def paced(*steps: tuple[str, float]) -> Pace:
    """A pace that has seen steps end: each with its phase and the seconds since the one before."""
    pace, now = Pace(), 0.0
    for number, (phase, seconds) in enumerate(steps, 1):
        now += seconds
        pace.note(phase, number, now)
    return pace


def test_before_two_steps_of_a_phase_nobody_knows_how_long_it_takes() -> None:
    assert Pace().seconds_for(10) is None
    assert paced(("dense", 3.0)).seconds_for(10) is None
    assert paced(("dense", 3.0), ("pruning", 3.0)).seconds_for(10) is None


def test_the_first_steps_are_averaged() -> None:
    pace = paced(("dense", 60.0), ("dense", 1.0), ("dense", 2.0), ("dense", 6.0))
    assert pace.seconds_for(10) == pytest.approx(30.0), "the mean of 1, 2 and 6, ten times; the warm-up left out"


def test_what_lies_between_two_phases_is_no_step() -> None:
    pace = paced(("dense", 9.0), ("dense", 1.0), ("pruning", 500.0), ("pruning", 1.0))
    assert pace.seconds_for(1) == pytest.approx(1.0)


def test_later_steps_weigh_a_twentieth() -> None:
    pace = paced(*[("dense", 1.0)] * 41, ("dense", 2.0))
    assert pace.seconds_for(1) == pytest.approx(1.05)


def test_a_run_that_becomes_slower_is_followed() -> None:
    pace = paced(*[("dense", 1.0)] * 50, *[("dense", 4.0)] * 100)
    assert pace.seconds_for(1) == pytest.approx(4.0, rel=0.01)


def test_progress_is_written_once_a_second_with_every_metric(
    clock: Clock, database: Database, written: list[dict[str, Any]], pulse: Pulse
) -> None:
    report = Reporter(database, FENCE, pulse)
    for step in range(1, 26):
        clock.now += 0.1
        report(at(step, loss=float(step)))
    assert [row["step"] for row in written] == [10, 20]
    report.flush()
    assert [row["step"] for row in written] == [10, 20, 25]
    assert list(itertools.chain.from_iterable(row["metrics"] for row in written)) == [
        ("loss", step, float(step)) for step in range(1, 26)
    ]
    assert [row["eta_s"] for row in written] == [9.0, 8.0, 7.5]


def test_what_comes_after_the_last_step_is_told_at_once_and_nobody_knows_how_long_it_takes(
    clock: Clock, database: Database, written: list[dict[str, Any]], pulse: Pulse
) -> None:
    report = Reporter(database, FENCE, pulse)
    for step in range(1, 13):
        clock.now += 0.1
        report(at(step, total=12))
    report(at(12, total=12, phase="delivering"))
    assert [(row["step"], row["phase"], row["eta_s"]) for row in written] == [
        (10, "pruning", pytest.approx(0.2)),
        (12, "delivering", None),
    ]


def test_a_stop_ends_the_run_at_its_next_step(database: Database, written: list[dict[str, Any]], pulse: Pulse) -> None:
    report = Reporter(database, FENCE, pulse)
    report(at(1))
    report.request_stop()
    with pytest.raises(Stopped):
        report(at(2))
    assert written == []


def test_between_two_steps_it_shows_that_work_goes_on_and_hears_a_stop(
    clock: Clock, database: Database, written: list[dict[str, Any]], pulse: Pulse
) -> None:
    report = Reporter(database, FENCE, pulse)
    report(at(50))
    clock.now += 700.0
    report.tick()
    assert (pulse.beat, written) == (clock.now, [])
    report.request_stop()
    with pytest.raises(Stopped):
        report.tick()


def test_what_is_fitted_between_two_steps_is_told_at_once_and_is_no_step(
    clock: Clock, database: Database, written: list[dict[str, Any]], pulse: Pulse
) -> None:
    report = Reporter(database, FENCE, pulse)
    for step in range(1, 5):
        clock.now += 0.2
        report(at(step))
    report(at(5, phase="fitting"))
    for seconds in (500.0, 0.2, 1.0):
        clock.now += seconds
        report(at(5 + int(seconds < 500), phase="pruning"))
    assert [(row["phase"], row["eta_s"]) for row in written][:2] == [("fitting", None), ("pruning", 19.0)]


def test_while_the_database_is_away_metrics_are_kept(
    clock: Clock,
    database: Database,
    written: list[dict[str, Any]],
    pulse: Pulse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = Reporter(database, FENCE, pulse)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(reporting, "record_progress", away)
        for step in range(1, 10):
            clock.now += 1.0
            report(at(step, loss=1.0))
    clock.now += 1.0
    report(at(10, loss=1.0))
    assert len(written[0]["metrics"]) == 10


def test_past_the_end_of_the_lease_no_step_is_made_until_it_is_renewed(
    database: Database, written: list[dict[str, Any]], pulse: Pulse
) -> None:
    report = Reporter(database, FENCE, pulse)
    pulse.deadline = time.monotonic()
    training = threading.Thread(target=report, args=(at(1),), daemon=True)
    training.start()
    training.join(0.3)
    assert training.is_alive(), "it stands still"
    pulse.deadline = time.monotonic() + 60
    training.join(5)
    assert not training.is_alive()
    assert 0 < time.monotonic() - pulse.beat < 30, "the supervisor sees when it got on"


def test_a_stop_reaches_a_run_that_stands_still(database: Database, pulse: Pulse) -> None:
    report = Reporter(database, FENCE, pulse)
    pulse.deadline = time.monotonic()
    threading.Timer(0.2, report.request_stop).start()
    with pytest.raises(Stopped):
        report(at(1))


def test_a_zombie_is_told_at_its_next_write(
    clock: Clock, database: Database, monkeypatch: pytest.MonkeyPatch, pulse: Pulse
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FenceLost("job_1", 1)

    monkeypatch.setattr(reporting, "record_progress", refuse)
    report = Reporter(database, FENCE, pulse)
    clock.now += 2.0
    with pytest.raises(FenceLost):
        report(at(1))


def away(*_: object, **__: object) -> None:
    """A database that cannot be reached."""
    raise OperationalError("UPDATE", {}, Exception("gone"))
