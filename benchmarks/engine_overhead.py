"""How much of a trainer's time goes into talking to the service, measured in a real run."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.tables import read_csv
from examples.sample_data import movie_reviews, sample_model
from pruning_core import Checkpointing, Progress, PruningSpec, prune
from store import Fence, NewJob, Settings, claim_next, create_job, ensure_team, open_database
from store.migrate import upgrade
from worker.pulse import Pulse
from worker.reporter import Reporter
from worker.saver import Saver

T = TypeVar("T")


class Enough(Exception):
    """The run has shown what it was run for."""


class Spent:
    """Adds up the time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, call: Callable[..., T]) -> Callable[..., T]:
        """The same call, timed."""

        def timed(*arguments: Any) -> T:
            started = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def overhead(steps: int) -> float:
    """Train MiniLM-L6 as a trainer of the service does, over SQLite, and return the share of time that is not training.

    Writing the checkpoint's file counts too: what lies between `due` and `written` is part of the engine's cost.

    Args:
        steps: how many training steps; a checkpoint is forced in the middle, and its cost spread over the time that the
            saver then lets pass until the next.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = open_database(_migrated(folder))
        fence = _claimed(database)
        settings = Settings(checkpoint_steps=steps // 2)
        reporter = Reporter(database, fence, Pulse(folder / "pulse"))
        saver = Saver(database, fence, settings, reporter)
        spent, begun, first = Spent(), [0.0], [0.0]
        report, due, written = spent.on(reporter), spent.on(saver.due), saver.written
        saved: list[float] = []

        def on_progress(progress: Progress) -> None:
            if progress.phase_step == 1:
                first[0], spent.seconds = time.perf_counter(), 0.0
            report(progress)
            if progress.phase_step == steps:
                raise Enough

        def is_due() -> bool:
            begun[0] = time.perf_counter()
            return due()

        def on_written(file: Path) -> None:
            written(file)
            saved.append(time.perf_counter() - begun[0])

        train = read_csv(movie_reviews() / "train.csv")
        spec = PruningSpec.model_validate(
            {
                "method": "movement",
                "target_sparsity": 0.9,
                "task": {"text": "text", "label": "label"},
                "training": {"max_steps": 10 * steps, "max_length": 64, "dense_baseline": False},
            }
        )
        with suppress(Enough):
            prune(
                sample_model(),
                train,
                spec,
                folder / "out",
                on_progress=on_progress,
                checkpointing=Checkpointing(folder / "checkpoint.safetensors", is_due, on_written),
            )
        took = time.perf_counter() - first[0] - sum(saved)
        database.close()
    [cost] = saved
    return spent.seconds / took + cost / (cost + saver.interval)


def _migrated(folder: Path) -> str:
    url = f"sqlite:///{folder / 'secateur.db'}"
    upgrade(url)
    return url


def _claimed(database: Any) -> Fence:
    with database.write() as session:
        team = ensure_team(session, "bench").id
        create_job(session, team, NewJob(method="movement", target_sparsity=0.9, spec={}))
    with database.write() as session:
        claim = claim_next(session, "default", "bench", 3600.0)
    assert claim is not None
    return claim.fence
