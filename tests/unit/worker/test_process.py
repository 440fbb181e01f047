"""What is told about a trainer's end."""

import signal

import pytest

from worker.process import describe_exit


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
