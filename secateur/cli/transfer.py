"""A progress bar for bytes that go up or down; nothing where stderr is not a terminal."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from secateur.cli.output import messages


@contextmanager
def transferring(what: str, size: int) -> Generator[Callable[[int], None]]:
    """Show the bar meanwhile; the function it gives is told of each further batch of bytes."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    with progress:
        task = progress.add_task(what, total=size)
        yield lambda further: progress.advance(task, further)
