"""No device is lent to two jobs at once, whatever processes run them, and none is lost with a process."""

import subprocess
import sys
import threading
from pathlib import Path

from worker.devices import Devices
from worker.lending import Lender

FOUR = Devices(("GPU-a", "GPU-b", "GPU-c", "GPU-d"))
HOLDS_TWO = """
import sys
from pathlib import Path
from worker.devices import Devices
from worker.lending import Lender
with Lender(Devices(("GPU-a", "GPU-b", "GPU-c", "GPU-d")), Path(sys.argv[1])).free(lambda: False) as loan:
    loan.keep(2)
    print(loan.variables()["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


def never() -> bool:
    return False


def test_a_job_keeps_what_it_asked_for_and_the_rest_is_there_for_others(tmp_path: Path) -> None:
    with Lender(FOUR, tmp_path).free(never) as first:
        assert first.offers == 4
        first.keep(1)
        assert first.variables() == {"CUDA_VISIBLE_DEVICES": "GPU-a"}
        with Lender(FOUR, tmp_path).free(never) as second:
            assert second.offers == 3
            second.keep(2)
            assert second.variables() == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-c"}
            with Lender(FOUR, tmp_path).free(never) as third:
                assert third.offers == 1
    with Lender(FOUR, tmp_path).free(never) as again:
        assert again.offers == 4


def test_where_all_are_lent_nothing_is_offered(tmp_path: Path) -> None:
    with Lender(FOUR, tmp_path).free(never) as all_of_them:
        all_of_them.keep(4)
        with Lender(FOUR, tmp_path).free(never) as none:
            assert none.offers == 0


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS_TWO, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "GPU-a,GPU-b"
        with Lender(FOUR, tmp_path).free(never) as rest:
            assert rest.offers == 2
        process.kill()
        process.wait()
    with Lender(FOUR, tmp_path).free(never) as everything:
        assert everything.offers == 4


def test_one_chooses_at_a_time_and_who_waits_can_be_stopped(tmp_path: Path) -> None:
    with Lender(FOUR, tmp_path).free(never) as choosing:
        with Lender(FOUR, tmp_path).free(lambda: True) as stopped:
            assert stopped.offers == 0
        offers: list[int] = []

        def wait() -> None:
            with Lender(FOUR, tmp_path).free(never) as loan:
                offers.append(loan.offers)

        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        choosing.keep(3)
        waiting.join(10)
        assert offers == [1]


def test_where_there_is_nothing_to_lend_any_number_of_jobs_run(tmp_path: Path) -> None:
    lender = Lender(Devices(), tmp_path)
    with lender.free(never) as first, lender.free(never) as second:
        first.keep(1)
        assert (first.offers, second.offers) == (1, 1)
        assert first.variables() == {}
    assert list(tmp_path.iterdir()) == []
