"""Progress: what clients poll, and the series behind the curves."""

import math
from collections.abc import Callable

from store import Database, Fence, Job, add_event, events_after, metrics_of, record_progress


def test_progress_is_shown_and_changes_the_version(
    database: Database, running: Fence, look: Callable[[str], Job]
) -> None:
    before = look(running.job_id).version
    with database.write() as session:
        record_progress(session, running, step=3, total_steps=10, density=0.4, phase="pruning", eta_s=7.0)
    with database.write() as session:
        record_progress(session, running, step=4)
    job = look(running.job_id)
    assert (job.step, job.total_steps, job.density, job.phase, job.eta_s) == (4, 10, 0.4, "pruning", None)
    assert job.version == before + 2


def test_series_come_back_in_order_and_a_repeated_step_is_overwritten(
    database: Database, team: str, running: Fence
) -> None:
    with database.write() as session:
        record_progress(session, running, step=2, metrics=[("loss", 2, 0.5), ("loss", 1, math.inf), ("acc", 1, 0.7)])
    with database.write() as session:
        record_progress(session, running, step=3, metrics=[("loss", 2, 0.4), ("loss", 3, 0.3)])
    with database.read() as session:
        series = metrics_of(session, team, running.job_id)
        thin = metrics_of(session, team, running.job_id, name="loss", max_points=2)
    points = {name: [(point.step, point.value) for point in found] for name, found in series.items()}
    assert points == {"acc": [(1, 0.7)], "loss": [(1, None), (2, 0.4), (3, 0.3)]}
    assert [point.step for point in thin["loss"]] == [1, 3]


def test_events_count_from_one_without_gaps(database: Database, team: str, running: Fence) -> None:
    for phase in ("training", "exporting"):
        with database.write() as session:
            add_event(session, running, "phase", {"phase": phase})
    with database.read() as session:
        events = events_after(session, team, running.job_id)
        assert [event.seq for event in events] == [1, 2, 3, 4]
        assert [event.data.get("phase") for event in events_after(session, team, running.job_id, after=2)] == [
            "training",
            "exporting",
        ]
