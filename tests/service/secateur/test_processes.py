"""The processes beneath `secateur up`, with small programs in place of the service's own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from secateur.embedded import supervisor as supervising
from secateur.embedded.child import Child, Program, run_once
from secateur.embedded.supervisor import Supervisor
from secateur.errors import ChildFailed

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def until(condition: Callable[[], object], patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)


def ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only waiting for its parent to look."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Makes children that run a line of Python."""
    made: list[Child] = []

    def child(code: str, grace_s: float = 10.0) -> Child:
        program = Program("sample", [sys.executable, "-c", code], dict(os.environ), grace_s)
        made.append(Child(program, tmp_path, tmp_path / "sample.log"))
        return made[-1]

    yield child
    for each in made:
        each.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "FIRST_PAUSE_S", 0.01)


def test_a_child_writes_to_a_log_of_its_own_that_only_the_owner_reads(make: Callable[..., Child]) -> None:
    child = make("import os, sys; print('out'); print('err', file=sys.stderr); print(os.getsid(0) == os.getpid())")
    child.start()
    assert child.wait() == 0
    assert set(child.log.read_text().split()) == {"out", "err", "True"}
    assert child.log.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_child_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    parent_code = f"""
import os, sys, time
from pathlib import Path
from secateur.embedded.child import Child, Program
child = Child(Program("sample", [sys.executable, "-c", {FOREVER!r}], dict(os.environ)), Path("."), Path("sample.log"))
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(lambda: (tmp_path / "sample.log").read_text() == "up\n")
        parent.kill()
    until(lambda: ended(pid))


def test_killing_a_child_takes_what_it_started_along(make: Callable[..., Child]) -> None:
    child = make(
        "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    )
    child.start()
    until(lambda: child.log.read_text().strip())
    grandchild = int(child.log.read_text())
    child.kill()
    assert not child.runs
    until(lambda: ended(grandchild))


def test_a_program_that_fails_is_told_with_its_last_lines(make: Callable[..., Child], tmp_path: Path) -> None:
    program = Program("migrate", [sys.executable, "-c", "raise SystemExit('no such column')"], dict(os.environ))
    with pytest.raises(ChildFailed, match=r"(?s)The migrate process ended with exit code 1.*no such column"):
        run_once(program, tmp_path, tmp_path / "migrate.log")


def test_the_tail_is_of_this_run_not_of_an_earlier_one(make: Callable[..., Child]) -> None:
    child = make("print('second')")
    child.log.write_text("first\n")
    child.start()
    child.wait()
    assert "second" in str(child.failure())
    assert "first" not in str(child.failure())


@pytest.mark.usefixtures("impatient")
def test_a_dead_child_is_restarted(make: Callable[..., Child]) -> None:
    notices: list[str] = []
    supervisor = Supervisor(notices.append, Event())
    supervisor.start(make(FOREVER))
    first = supervisor.pids["sample"]
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.tend()
        return supervisor.pids.get("sample", first) != first

    until(is_back)
    assert notices[0].startswith("The sample was killed by SIGKILL; starting it again in 0.01 s")


@pytest.mark.usefixtures("impatient")
def test_a_child_that_keeps_dying_is_given_up_with_the_tail_of_its_log(make: Callable[..., Child]) -> None:
    notices: list[str] = []
    supervisor = Supervisor(notices.append, Event())
    supervisor.start(make("raise SystemExit('the port is gone')"))

    def tend_for_ever() -> None:
        while True:
            supervisor.tend()
            time.sleep(0.01)

    with pytest.raises(ChildFailed, match=r"(?s)exit code 1 for the 5th time in a row.*the port is gone"):
        tend_for_ever()
    assert len(notices) == supervising.QUICK_DEATHS - 1


def test_a_child_that_dies_while_the_service_starts_is_not_restarted(make: Callable[..., Child]) -> None:
    supervisor = Supervisor(lambda text: None, Event())
    child = make("raise SystemExit('no module named api')")
    supervisor.start(child)
    child.wait()
    with pytest.raises(ChildFailed, match="no module named api"):
        supervisor.insist()


def test_a_child_that_does_not_stop_in_its_grace_is_killed(make: Callable[..., Child]) -> None:
    notices: list[str] = []
    supervisor = Supervisor(notices.append, Event())
    child = make(DEAF, 0.3)
    supervisor.start(child)
    until(child.log.read_text)
    supervisor.stop_all()
    assert not child.runs
    assert notices == ["The sample did not stop within 0.3 s; it is killed."]


def test_a_stop_that_is_hurried_waits_for_nobody(make: Callable[..., Child]) -> None:
    kill_now = Event()
    supervisor = Supervisor(lambda text: None, kill_now)
    child = make(DEAF, 600.0)
    supervisor.start(child)
    until(child.log.read_text)
    kill_now.set()
    supervisor.stop_all()
    assert not child.runs


SLOW = """
import os, signal, sys, time
def stop(*_):
    os.write(1, b"{0} asked\\n")
    time.sleep(0.5)
    os.write(1, b"{0} gone\\n")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
os.write(1, b"up\\n")
time.sleep(600)
"""


def test_children_stop_turn_by_turn_and_together_within_a_turn(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda text: None, Event())
    log = tmp_path / "all.log"
    for name, turn in (("broker", 1), ("worker", 0), ("worker", 0)):
        program = Program(name, [sys.executable, "-c", SLOW.format(name)], dict(os.environ), 10.0, turn)
        supervisor.start(Child(program, tmp_path, log))
    until(lambda: log.read_text().count("up") == 3)
    supervisor.stop_all()
    assert log.read_text().splitlines()[3:] == [
        "worker asked",
        "worker asked",
        "worker gone",
        "worker gone",
        "broker asked",
        "broker gone",
    ]
