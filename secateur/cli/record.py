"""`secateur attempts`, `events`, `metrics`, `masks`: what a job leaves behind beside its files."""

import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.jobs import JobId
from secateur.cli.output import AsJson, percent_text, print_json, results, say, seconds_text, table, time_text
from secateur.resources import Attempt, Event, Series

#: From nothing kept to everything, for one cell of a mask's picture.
SHADES = " ░▒▓█"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(attempts)
    app.command()(events)
    app.command()(metrics)
    app.command()(masks)


def attempts(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show who worked on a job, and how each attempt ended."""
    with connect(context) as client:
        found = client.attempts(job_id)
    if as_json:
        print_json(found)
        return
    listing = table("attempt", "worker", "started", "took", "outcome", "error", right=("attempt", "took"))
    for each in found:
        error = each["error"]["detail"] if each["error"] else ""
        listing.add_row(
            str(each["attempt"]),
            escape(each["worker"]),
            time_text(each["started_at"]),
            _took(each),
            each["outcome"] or "running",
            escape(error),
        )
    results.print(listing)


def events(
    context: typer.Context,
    job_id: JobId,
    after: Annotated[int, typer.Option(min=0, help="Only events with a larger number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a job. With --follow and --json, each event is a line."""
    with connect(context) as client:
        found: Iterable[Event] = client.follow(job_id, after) if follow else client.events(job_id, after)
        if as_json and not follow:
            print_json(found)
            return
        for event in found:
            if as_json:
                print_json(event)
                continue
            said = " ".join(f"{name}={json.dumps(value)}" for name, value in event["data"].items())
            line = f"{event['seq']:>4}  {time_text(event['at'])}  {event['type']}  {said}"
            results.print(line.rstrip(), markup=False, soft_wrap=True)


def metrics(
    context: typer.Context,
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="Show each point of this series.")] = None,
    max_points: Annotated[int, typer.Option(min=2, help="Thin each series evenly to so many points.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show what a job measured: its series, or the points of one."""
    with connect(context) as client:
        series = client.metrics(job_id, name, max_points)
    if as_json:
        print_json(series)
    elif not series:
        so_far = "yet" if name is None else f"called {escape(name)} so far; without --name all series are listed"
        say(f"{job_id} has measured nothing {so_far}.")
    elif name is None:
        _print_series(series)
    else:
        listing = table("step", "value", "time", right=("step", "value"))
        for step, value, at in series[name]:
            listing.add_row(str(step), _number(value), time_text(at))
        results.print(listing)


def masks(
    context: typer.Context,
    job_id: JobId,
    layer: Annotated[str | None, typer.Option(help="Draw this layer's mask instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of each matrix a job kept, or one mask seen from afar: the darker, the more was kept."""
    with connect(context) as client:
        if layer is not None:
            picture = client.mask_picture(job_id, layer)
            if as_json:
                print_json(picture)
            else:
                _draw(picture)
            return
        found = client.masks(job_id)
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"{job_id} has left no masks yet: they come with its result.")
        return
    listing = table("kept", "of", "density", "shape", "layer", right=("kept", "of", "density"))
    for each in found:
        shape = " × ".join(map(str, each["shape"]))
        figures = (f"{each['kept']:,}", f"{each['total']:,}", percent_text(each["density"]))
        listing.add_row(*figures, shape, escape(each["name"]))
    results.print(listing)


def _took(attempt: Attempt) -> str:
    began = datetime.fromisoformat(attempt["started_at"])
    ended = datetime.fromisoformat(attempt["ended_at"]) if attempt["ended_at"] else datetime.now(UTC)
    return seconds_text(max(0.0, (ended - began).total_seconds()))


def _print_series(series: Series) -> None:
    listing = table(
        "points", "first", "last", "least", "most", "series", right=("points", "first", "last", "least", "most")
    )
    for name, points in series.items():
        values = [value for _, value, _ in points if value is not None]
        ends = (points[0][1], points[-1][1], min(values, default=None), max(values, default=None))
        listing.add_row(str(len(points)), *map(_number, ends), escape(name))
    results.print(listing)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _draw(picture: list[list[float]]) -> None:
    """A picture in shades of its own densest cell; a sparse mask would be blank in shades of 1."""
    most = max(itertools.chain.from_iterable(picture), default=0.0) or 1.0
    for row in picture:
        cells = (SHADES[round(share / most * (len(SHADES) - 1))] for share in row)
        results.print("".join(cell * 2 for cell in cells), markup=False, soft_wrap=True)
    say(f"█ is {percent_text(most)} kept.")
