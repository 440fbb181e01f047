"""`secateur compare`, `usage` and `audit`: many jobs, or all that was asked for, at one glance."""

from datetime import datetime
from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.output import (
    AsJson,
    bytes_text,
    percent_text,
    print_json,
    results,
    seconds_text,
    status_text,
    table,
    time_text,
)
from secateur.resources import Compared, Comparison, Used

_DAY = ["%Y-%m-%d"]
#: Characters of a value beside others; `--json` and `--csv` have all.
_MOST_SHOWN = 24


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(compare)
    app.command()(usage)
    app.command()(audit)


def compare(
    context: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(metavar="ID ID …", help="The jobs' ids, job_….", show_default=False)],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row for each job.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show jobs side by side: what differs between their specs, and what came of each."""
    with connect(context) as client:
        if as_csv:
            print(client.compare_csv(job_ids), end="")
            return
        found = client.compare(job_ids)
    if as_json:
        print_json(found)
    else:
        _print(found)


def usage(
    context: typer.Context,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="First day, in UTC.")] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day, included; today unless told.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the team has used, day by day; for administrators."""
    with connect(context) as client:
        found = client.usage(first.date() if first else None, last.date() if last else None)
    if as_json:
        print_json(found)
        return
    numbers = ("submitted", "succeeded", "failed", "cancelled", "trainers", "GPUs", "steps")
    listing = table("day", *numbers, right=numbers)
    for day in found["days"]:
        if any(day["jobs"].values()) or day["trainer_s"] or day["steps"]:
            listing.add_row(day["day"], *_used(day))
    listing.add_row("[bold]all[/]", *_used(found["total"]))
    results.print(listing)
    stored = found["stored"]
    kept = ", ".join(f"{kind} {bytes_text(size)}" for kind, size in stored["referenced"].items())
    results.print(f"Kept: {bytes_text(stored['unique'])}, referred to by {kept}.", soft_wrap=True)


def audit(
    context: typer.Context,
    *,
    key_id: Annotated[str | None, typer.Option("--by", metavar="KEY", help="Only what this key did.")] = None,
    target_id: Annotated[str | None, typer.Option("--of", metavar="ID", help="Only what was done to this.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only from this time on; of this machine's clock.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, newest first; for administrators."""
    begin = since.astimezone() if since else None
    with connect(context) as client:
        found = list(islice(client.audit(key_id=key_id, target_id=target_id, since=begin), limit))
    if as_json:
        print_json(found)
        return
    listing = table("when", "status", "what", "id", "key")
    for entry in found:
        what = f"{entry['method']} {entry['route']}"
        key = entry["key_id"] or "on the host"
        listing.add_row(time_text(entry["at"]), str(entry["status"]), escape(what), entry["target_id"] or "–", key)
    results.print(listing)


def _print(found: Comparison) -> None:
    jobs = found["jobs"]
    listing = table("", *(job["job"][-8:] for job in jobs))
    for field, values in found["differences"].items():
        if field == "name":  # which follows by itself
            continue
        listing.add_row(escape(field), *(escape(_short(value)) for value in values))
    listing.add_section()
    listing.add_row("name", *(escape(job["name"] or "–") for job in jobs))
    listing.add_row("status", *(status_text(job["status"]) for job in jobs))
    for name in dict.fromkeys(name for job in jobs for name in job["eval"]):
        listing.add_row(escape(name), *(_beside_dense(job, name) for job in jobs))
    listing.add_row("of dense", *(percent_text(job["relative"]) for job in jobs))
    for name in dict.fromkeys(name for job in jobs for name in job["density"]):
        listing.add_row(f"density, {escape(name)}", *(percent_text(job["density"].get(name)) for job in jobs))
    for name in dict.fromkeys(name for job in jobs for name in job["bytes"]):
        sizes = (job["bytes"].get(name) for job in jobs)
        listing.add_row(f"bytes, {escape(name)}", *("–" if size is None else bytes_text(size) for size in sizes))
    listing.add_row("runtime", *(seconds_text(job["runtime_s"]) for job in jobs))
    results.print(listing)


def _short(value: object) -> str:
    """A value as far as a column has room: of 77 labels the first few."""
    text = "–" if value is None else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _beside_dense(job: Compared, name: str) -> str:
    value, dense = job["eval"].get(name), job["dense_eval"].get(name)
    if value is None:
        return "–"
    return f"{value:.4f}" + (f" (dense {dense:.4f})" if dense is not None else "")


def _used(used: Used) -> list[str]:
    jobs = [str(used["jobs"][end]) for end in ("submitted", "succeeded", "failed", "cancelled")]
    return [*jobs, seconds_text(used["trainer_s"]), seconds_text(used["gpu_s"]), f"{used['steps']:,}"]
