"""Processes end with their parent, however that ended."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

STARTS_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True,
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""

WAITS = "print('up', flush=True); import time; time.sleep(600)"
ENDS_BY_SIGNAL = "from worker.lifeline import die_with_parent; die_with_parent(); " + WAITS
ENDS_BY_STDIN = "from worker.lifeline import die_at_end_of_stdin; die_at_end_of_stdin(); " + WAITS
HAS_A_CHILD = (
    "from worker.lifeline import die_at_end_of_stdin; die_at_end_of_stdin(); import subprocess; "
    "print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
)


def ends(process: psutil.Process) -> bool:
    """Whether a process is gone soon."""
    deadline = time.monotonic() + 5
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            process.kill()
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            ENDS_BY_SIGNAL, marks=pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's own")
        ),
        ENDS_BY_STDIN,
    ],
)
def test_a_child_ends_when_its_parent_is_killed(code: str) -> None:
    command = [sys.executable, "-c", STARTS_A_CHILD, code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    assert ends(child)


def test_its_own_children_end_with_it() -> None:
    command = [sys.executable, "-c", HAS_A_CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        grandchild = psutil.Process(int(process.stdout.readline()))
        process.stdin.close()
        process.wait(timeout=5)
    assert ends(grandchild)


def test_a_process_whose_stdin_is_open_goes_on() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDS_BY_STDIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.kill()
