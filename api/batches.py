"""Work that costs little more for many than for one: a thread takes all that waits, and does it in one go."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Batches(Generic[Item, Outcome]):
    """Hands what comes to a function, as much at a time as waits, from a thread of its own."""

    def __init__(
        self, name: str, work: Callable[[Sequence[Item]], Sequence[Outcome | Exception]], at_a_time: int
    ) -> None:
        """Begin with nothing.

        Args:
            name: the thread's.
            work: says of each item what became of it, or why nothing did; what it raises is said of all.
            at_a_time: so many go into one batch at most.
        """
        self._name = name
        self._work = work
        self._at_a_time = at_a_time
        self._queue: SimpleQueue[tuple[Item, Future[Outcome]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> Future[Outcome]:
        """Hand over an item and return at once. The future can be cancelled until the item's batch begins."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                thread.start()
                self._thread = thread  # not before: where no thread can be had, the next one tries again
        done: Future[Outcome] = Future()
        self._queue.put((item, done))
        return done

    def close(self) -> None:
        """Do what waits, unless that takes too long."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _serve(self) -> None:
        ends = False
        while not ends:
            waiting = [self._queue.get()]
            while len(waiting) < self._at_a_time and waiting[-1] is not None:
                try:
                    waiting.append(self._queue.get_nowait())
                except Empty:
                    break
            ends = waiting[-1] is None
            batch = [each for each in waiting if each is not None and each[1].set_running_or_notify_cancel()]
            if batch:
                self._do(batch)

    def _do(self, batch: Sequence[tuple[Item, Future[Outcome]]]) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told, and the thread goes on
            outcomes = [error] * len(batch)
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
