"""`secateur sweeps submit`, `list`, `show`, `cancel` and `delete`."""

from typing import Annotated

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.output import (
    AsJson,
    age_text,
    bytes_text,
    messages,
    print_deleted,
    print_json,
    results,
    say,
    status_text,
    table,
)
from secateur.cli.spec_file import read_spec
from secateur.resources import Row, Spread, Sweep, SweepSummary

app = typer.Typer(help="Submit many jobs at once and compare them.", no_args_is_help=True)

SweepId = Annotated[str, typer.Argument(metavar="ID", help="The sweep's id, swp_….", show_default=False)]


@app.command()
def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="base and grid as JSON; - reads them from stdin.")],
    stay: Annotated[bool, typer.Option("--watch", help="Wait until all jobs have ended, and show the table.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and sweep give the same sweep for 24 hours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job for every combination of a grid's values, and print the sweep's id.

    With --watch the exit code is 1 unless all jobs succeeded.
    """
    with connect(context) as client:
        sweep = client.submit_sweep(read_spec(file), idempotency_key)
        say(f"Submitted {len(sweep['runs'])} jobs.")
        for advice in sweep["warnings"]:
            say(f"[yellow]{escape(advice['warning'])}[/] ({len(advice['jobs'])} of {len(sweep['runs'])} jobs)")
        if stay:
            with messages.status("") as spinner:
                sweep = client.wait_for_sweep(sweep["id"], lambda each: spinner.update(_counts(each)))
    if as_json:
        print_json(sweep)
    elif stay:
        _print(sweep)
    else:
        results.print(sweep["id"], soft_wrap=True)
        say(f"Look at it with: secateur sweeps show {sweep['id']}")
    if stay and sweep["status"] != "succeeded":
        raise typer.Exit(1)


@app.command("list")
def list_sweeps(context: typer.Context, as_json: AsJson = False) -> None:
    """List the team's sweeps, newest first."""
    with connect(context) as client:
        sweeps = list(client.sweeps())
    if as_json:
        print_json(sweeps)
        return
    listing = table("id", "status", "jobs", "age", "name")
    for sweep in sweeps:
        age = age_text(sweep["created_at"])
        listing.add_row(sweep["id"], status_text(sweep["status"]), _counts(sweep), age, escape(sweep["name"] or ""))
    results.print(listing)


@app.command()
def show(
    context: typer.Context,
    sweep_id: SweepId,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a sweep: means ± standard deviations over seeds, and the Pareto front."""
    with connect(context) as client:
        if as_csv:
            print(client.sweep_csv(sweep_id), end="")
            return
        sweep = client.sweep(sweep_id)
    if as_json:
        print_json(sweep)
    else:
        _print(sweep)


@app.command()
def cancel(context: typer.Context, sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Cancel those of a sweep's jobs that have not ended."""
    with connect(context) as client:
        sweep = client.cancel_sweep(sweep_id)
    if as_json:
        print_json(sweep)
    else:
        results.print(f"{sweep_id}: {_counts(sweep)}.", soft_wrap=True)


@app.command()
def delete(context: typer.Context, sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Delete a sweep whose jobs have ended, with all of them and what they left behind."""
    with connect(context) as client:
        client.delete_sweep(sweep_id)
    print_deleted(sweep_id, as_json=as_json)


def _print(sweep: Sweep) -> None:
    results.print(f"{sweep['id']} is {status_text(sweep['status'])}: {_counts(sweep)}.", soft_wrap=True)
    metrics = list(dict.fromkeys(name for row in sweep["table"] for name in row["eval"]))
    settings = list(dict.fromkeys(name for row in sweep["table"] for name in row["point"]))
    listing = table(*map(escape, settings), "runs", *metrics, "density", "size", "front")
    for row in sweep["table"]:
        listing.add_row(
            *(escape(str(row["point"][name])) for name in settings),
            f"{row['succeeded']}/{row['runs']}",
            *(_spread(row["eval"].get(name)) for name in metrics),
            _spread(row["density"]),
            bytes_text(row["bytes"]["mean"]) if row["bytes"] else "–",
            _front(row),
        )
    results.print(listing)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread['mean']:.4f}" + (f" ± {spread['sd']:.4f}" if spread["sd"] is not None else "")


def _front(row: Row) -> str:
    marks = {"density": "*", "bytes": "b"}
    return "".join(marks[against] for against in row["pareto"])


def _counts(sweep: SweepSummary) -> str:
    return ", ".join(f"{count} {status}" for status, count in sweep["jobs_by_status"].items())
