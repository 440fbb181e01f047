"""Where a command's words go: results to stdout, progress and complaints to stderr."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# A pipe has no width: tables are not cut for it.
PIPE_WIDTH = 200

results = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
messages = Console(stderr=True, highlight=False)

#: The `--json` of every command.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]

STATUS_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def print_json(value: object) -> None:
    """Print a value for programs, on a line of its own."""
    print(json.dumps(value), flush=True)


def complain(error: Exception) -> None:
    """Print an error for people."""
    messages.print("[bold red]error:[/] " + escape(str(error)), soft_wrap=True)


def say(text: str) -> None:
    """Print a remark for people; it may have Rich markup."""
    messages.print(text, soft_wrap=True)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table; where space is short, the last column gives way, never an id or a number."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column != columns[-1])
    return made


def status_text(status: str) -> str:
    """A job's status, coloured."""
    style = STATUS_STYLES.get(status, "none")
    return f"[{style}]{status}[/]"


def bytes_text(size: float) -> str:
    """A size for people: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def seconds_text(seconds: float) -> str:
    """A duration for people: 42 s, 3 min 10 s, 2 h 05 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def time_text(moment: str | None) -> str:
    """An RFC 3339 time in this machine's time zone."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if moment else "–"


def age_text(moment: str) -> str:
    """How long ago an RFC 3339 time was."""
    return seconds_text(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()))


def percent_text(share: float | None) -> str:
    """A share as a percentage."""
    return "–" if share is None else f"{share:.1%}"


def print_deleted(id_: str, *, as_json: bool) -> None:
    """Say that something is gone."""
    if as_json:
        print_json({"id": id_, "deleted": True})
    else:
        say(f"{id_} is deleted.")
