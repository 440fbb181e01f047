"""What is told about a trainer's end."""

import signal
from pathlib import Path

import pytest

from worker.process import describe_exit, environment_of


@pytest.mark.parametrize(
    ("code", "log_tail", "said"),
    [
        (1, "", "The trainer ended with exit code 1."),
        (
            1,
            "Traceback (most recent call last):\n  …\nKeyError: 'labels'\n\n",
            "The trainer ended with exit code 1. Its last words: KeyError: 'labels'",
        ),
        (
            -signal.SIGKILL,
            "step 1\n",
            "The trainer was killed (SIGKILL) by something outside: an operator, or a container's limit of memory. If "
            "it happens again, lower batch_size or max_length.",
        ),
        (-signal.SIGSEGV, "", "The trainer was ended by SIGSEGV."),
        (-35, "", "The trainer was ended by signal 35."),  # a real-time signal has no name
    ],
)
def test_an_exit_code_is_told_in_a_sentence(code: int, log_tail: str, said: str) -> None:
    assert describe_exit(code, log_tail) == said


def test_a_last_line_without_end_is_cut() -> None:
    assert len(describe_exit(1, "x" * 8000)) < 600


def test_a_trainers_steps_are_quick_unless_its_worker_was_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    kept = environment_of({}, Path("/scratch"))
    assert int(kept["MALLOC_TRIM_THRESHOLD_"]) > 2**33, "more than a trainer frees at once"
    assert int(kept["MALLOC_MMAP_THRESHOLD_"]) == 2**26, "larger blocks are given back"
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    told = environment_of({"CUDA_VISIBLE_DEVICES": "1"}, Path("/scratch"))
    assert told["MALLOC_TRIM_THRESHOLD_"] == "131072"
    assert (told["CUDA_VISIBLE_DEVICES"], told["TMPDIR"]) == ("1", "/scratch")
