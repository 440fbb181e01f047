"""Rest for a worker whose trainers die before they begin: a broken installation must not use up every job's tries."""

import time

_SHORTEST_S, _LONGEST_S = 5.0, 300.0


class Rest:
    """Grows with each trainer that dies so, and is over for good with one that does not."""

    def __init__(self) -> None:
        """Begin rested."""
        self._deaths = 0
        self._until = 0.0

    def note(self, *, began: bool) -> float:
        """Take note of a trainer's end; returns for how many seconds the worker should leave jobs to others.

        Args:
            began: whether it came as far as its job, or was asked to stop before.
        """
        self._deaths = 0 if began else self._deaths + 1
        seconds = min(_SHORTEST_S * 2.0 ** (self._deaths - 1), _LONGEST_S) if self._deaths else 0.0
        self._until = time.monotonic() + seconds
        return seconds

    def is_over(self) -> bool:
        """Whether it may claim jobs."""
        return time.monotonic() >= self._until
