"""`secateur methods`: what a spec's `method` and `pruning.params` may say."""

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.output import AsJson, print_json, results, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(methods)


def methods(context: typer.Context, as_json: AsJson = False) -> None:
    """List the pruning methods and their parameters."""
    with connect(context) as client:
        found = client.methods()
    if as_json:
        print_json(found)
        return
    listing = table("method", "epochs", "schedule", "parameters", "what it does", right=("epochs",))
    for method in found:
        parameters = "\n".join(
            f"{name} = {entry['default']}" if entry.get("default") is not None else f"{name}: by the run"
            for name, entry in method["parameters"].items()
        )
        shape = method["default_schedule_shape"] or "–"
        listing.add_row(
            escape(method["name"]),
            f"{method['default_epochs']:g}",
            shape,
            escape(parameters),
            escape(method["summary"]),
        )
    results.print(listing)
