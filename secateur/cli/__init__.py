"""The `secateur` command: one file for each group of commands, every command a few lines above `secateur.Client`.

Exit codes: 0 it succeeded (for `watch` and `submit --watch`: the job did), 1 it did not, 2 the command line is wrong,
3 the watched job was cancelled, 130 interrupted by Ctrl-C.
"""

import sys
from typing import Annotated

import typer

from secateur import __version__
from secateur.address import KEY_VARIABLE, URL_VARIABLE
from secateur.cli import (
    datasets,
    job_report,
    jobs,
    keys,
    methods,
    models,
    overview,
    packed,
    record,
    requests,
    service,
    sweeps,
    webhooks,
)
from secateur.cli.connection import Chosen
from secateur.cli.output import complain
from secateur.errors import SecateurError

app = typer.Typer(
    name="secateur",
    help="Prune transformers through a Secateur service. `secateur up` starts one on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (service, jobs, job_report, requests, record, overview, methods, packed):
    group.register(app)
app.add_typer(sweeps.app, name="sweeps")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help=f"The service's address. Default: {URL_VARIABLE}, else the local `secateur up`.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help=f"The key. Default: {KEY_VARIABLE}, else the local `secateur up`'s admin key.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of every command."""
    context.obj = Chosen(url, key)


def main() -> None:
    """Run the command line; what goes wrong is told in a sentence, not a traceback."""
    try:
        app()
    except SecateurError as error:
        complain(error)
        sys.exit(1)
