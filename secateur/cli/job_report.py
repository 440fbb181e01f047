"""`secateur report`: a job's report, in the browser or as JSON."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.connection import connect
from secateur.cli.jobs import JobId
from secateur.cli.output import AsJson, print_json, results, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(show_report)


def show_report(
    context: typer.Context,
    job_id: JobId,
    output: Annotated[
        Path | None, typer.Option(help="Where to; ID.html here unless told.", dir_okay=False, show_default=False)
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Leave the browser alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a job's report and open it; with --json print report.json instead."""
    with connect(context) as client:
        if as_json:
            print_json(client.report(job_id))
            return
        path = client.download_report(job_id, output or Path(f"{job_id}.html"))
    results.print(str(path), soft_wrap=True, markup=False)
    if not no_open and not webbrowser.open(path.resolve().as_uri()):
        say("There is no browser here; the file is where it says.")
