"""When checkpoints are due, what they may cost, and what becomes of one while the database is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Database, Fence, Settings, open_database
from worker import saver as saving
from worker.pulse import Pulse
from worker.reporter import Reporter, Stopped
from worker.saver import Saver

FENCE = Fence("job_1", 1)
FILE = Path("checkpoint.safetensors")


class Clock:
    """Time that passes when it is told to, or somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Scene:
    """A saver whose writes take a time, and come through or not."""

    def __init__(self, saver: Saver, reporter: Reporter, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.saver, self.reporter, self.clock = saver, reporter, clock
        self.takes = 0.1
        self.away = 0
        self.tries = 0
        monkeypatch.setattr(Saver, "_publish", lambda saver, file: self.publish())

    def publish(self) -> bool:
        self.tries += 1
        self.clock.now += self.takes
        self.away -= 1
        return self.away < 0

    def save(self, takes: float) -> float:
        """Save once; returns the seconds until the next is due."""
        self.takes = takes
        self.clock.now += self.saver.interval
        assert self.saver.due()
        self.saver.written(FILE)
        return self.saver.interval


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield made
    made.close()


@pytest.fixture
def scene(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    reporter = Reporter(database, FENCE, Pulse(tmp_path / "pulse"))
    return Scene(Saver(database, FENCE, Settings(checkpoint_s=300), reporter), reporter, clock, monkeypatch)


def test_a_checkpoint_is_due_when_its_time_has_come(scene: Scene) -> None:
    assert not scene.saver.due()
    scene.clock.now += 299
    assert not scene.saver.due()
    scene.clock.now += 1
    assert scene.saver.due()
    scene.saver.written(FILE)
    assert not scene.saver.due()


def test_costly_checkpoints_are_rarer_but_not_without_bounds(scene: Scene) -> None:
    assert scene.save(takes=0.5) == 300
    assert [scene.save(takes=3.0) for _ in range(3)][-1] == pytest.approx(3.0 / 0.004)
    assert [scene.save(takes=600.0) for _ in range(3)][-1] == 6 * 300


def test_one_that_waited_for_a_busy_database_changes_nothing(scene: Scene) -> None:
    scene.save(takes=0.5)
    assert scene.save(takes=600.0) == 300
    assert scene.save(takes=0.5) == 300


def test_one_that_did_not_come_through_is_tried_again_soon(scene: Scene) -> None:
    scene.away = 1
    assert scene.save(takes=30.0) == 30
    assert scene.save(takes=0.5) == 300


def test_a_stop_waits_until_its_checkpoint_is_safe(scene: Scene) -> None:
    scene.saver.request_stop()
    scene.away = 5
    assert scene.saver.due()
    with pytest.raises(Stopped):
        scene.saver.written(FILE)
    assert scene.tries == 6


def test_a_full_disk_is_tried_again_soon_and_stops_no_cancel(scene: Scene) -> None:
    full = OSError("The checkpoint cannot be written: No space left on device.")
    scene.saver.failed(full)
    assert scene.saver.interval == 30
    assert not scene.saver.due()
    scene.saver.request_stop()
    scene.saver.failed(full)
    assert scene.saver.due(), "at the next step"
    scene.reporter.request_stop()
    with pytest.raises(Stopped):
        scene.saver.failed(full)


def test_a_cancel_does_not_wait_for_it(scene: Scene) -> None:
    scene.saver.request_stop()
    scene.reporter.request_stop()
    scene.away = 1000
    assert scene.saver.due()
    with pytest.raises(Stopped):
        scene.saver.written(FILE)
    assert scene.tries == 1
