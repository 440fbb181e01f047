"""Following one job on a terminal, as a progress bar, or anywhere else, as lines."""

import time
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from secateur.cli.output import messages, percent_text, say, seconds_text, status_text
from secateur.cli.report import place_remarks
from secateur.client import Client
from secateur.errors import SecateurError
from secateur.resources import Job

# The curves are asked for less often than the job: they are many rows, and only their ends are shown.
LOSSES_EVERY_S = 2.0
LINE_EVERY_S = 15.0

EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 3}
INTERRUPTED = 130


def watch(client: Client, job_id: str) -> Job:
    """Show a job's progress until it has ended, and return it. Ctrl-C ends the watching, not the job."""
    try:
        with _Bar(messages) if messages.is_terminal else _Lines() as face:
            losses = _Losses(client)
            return client.wait(job_id, lambda job: face.show(job, losses.of(job)))
    except KeyboardInterrupt:
        say(
            f"Stopped watching; {job_id} goes on. Watch it again with `secateur watch {job_id}`, "
            f"or stop it with `secateur cancel {job_id}`."
        )
        raise typer.Exit(INTERRUPTED) from None


class _Face(Protocol):
    """Something that shows a job."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, job: Job, losses: str) -> None:
        """Show the job's present state."""


class _Bar:
    """A progress bar: what is done, step, density, loss, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[remarks]}"),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Job, losses: str) -> None:
        if self._task is None:
            self._task = self._progress.add_task("", total=None, remarks="")
        progress = job["progress"]
        self._progress.update(
            self._task,
            description=_doing(job, styled=True),
            completed=progress["step"],
            # Without a total the bar pulses: something is done whose length nobody knows yet.
            total=progress["total_steps"],
            remarks=" · ".join(_remarks(job, losses)),
        )


class _Lines:
    """A line when something else is being done, and one every now and then between."""

    def __init__(self) -> None:
        self._doing = ""
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def show(self, job: Job, losses: str) -> None:
        doing = _doing(job, styled=False)
        now = time.monotonic()
        if doing == self._doing and now - self._shown_at < LINE_EVERY_S:
            return
        self._doing, self._shown_at = doing, now
        progress = job["progress"]
        steps = [f"step {progress['step']}/{progress['total_steps']}"] if progress["total_steps"] else []
        say(" · ".join([job["id"], doing, *steps, *_remarks(job, losses)]))


class _Losses:
    """The newest losses of a job, asked for now and then."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked_at = float("-inf")
        self._text = ""

    def of(self, job: Job) -> str:
        """The last point of each loss of the present phase, as text; empty before the first."""
        if job["status"] != "running" or time.monotonic() - self._asked_at < LOSSES_EVERY_S:
            return self._text
        self._asked_at = time.monotonic()
        try:
            series = self._client.metrics(job["id"], max_points=10)
        except SecateurError:  # an ornament: whether the job can be reached is for the polling to say
            return self._text
        dense = job["progress"]["phase"] == "dense"
        last = {
            name.removeprefix("dense/"): points[-1][1]
            for name, points in series.items()
            if name.endswith("loss") and points and name.startswith("dense/") == dense
        }
        self._text = " · ".join(f"{name} {value:.3f}" for name, value in last.items() if value is not None)
        return self._text


def _doing(job: Job, *, styled: bool) -> str:
    """What happens now: the phase of a running job, the status of any other."""
    status = status_text(job["status"]) if styled else job["status"]
    phase = job["progress"]["phase"]
    doing = f"{status}, {phase}" if job["status"] == "running" and phase else status
    return f"{doing} (attempt {job['attempt']})" if job["attempt"] > 1 else doing


def _remarks(job: Job, losses: str) -> list[str]:
    density, eta_s = job["progress"]["density"], job["progress"]["eta_s"]
    if job["status"] == "paused":
        return [f"goes on with: secateur resume {job['id']}"]
    if job["status"] != "running":
        return place_remarks(job)
    return [
        *([f"density {percent_text(density)}"] if density is not None else []),
        *([losses] if losses else []),
        *([f"{seconds_text(eta_s)} left"] if eta_s is not None else []),
    ]
