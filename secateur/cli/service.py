"""`secateur up`: the embedded service in the foreground, until Ctrl-C."""

import shlex
import signal
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from secateur.address import DATA_DIR_VARIABLE, default_data_dir
from secateur.cli.output import AsJson, messages, print_json, results, say
from secateur.embedded import EmbeddedService, ServiceEntry

LOOK_S = 0.2
INTERRUPTED = 130
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help=f"Where everything is kept. Default: {DATA_DIR_VARIABLE}, else ~/.secateur.", file_okay=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many jobs may run at once; they share the cores.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the whole service on this machine: database, broker, API, worker and reconciler.

    Ctrl-C stops everything in order: a running job saves a checkpoint, and goes on from it the next time. Ctrl-C again
    stops at once.
    With --json, one object is printed when the service is ready.
    """
    service = EmbeddedService(
        data_dir, host=host, port=port, workers=workers, notice=lambda text: say(f"[yellow]{escape(text)}[/]")
    )
    asked = _stop_on_signals(service)
    with messages.status("Starting …"):
        service.start()
    if service.ready:
        if as_json:
            print_json(service.entry)
        else:
            _print_banner(service.entry)
        if host not in LOCAL_HOSTS:
            say(f"[yellow]Other machines can reach this service on {escape(host)}; it has no TLS of its own.[/]")
    while not asked.is_set() and not service.wait(LOOK_S):
        pass
    if asked.is_set():
        say("Stopping; a running job is put back into the queue. Ctrl-C again stops at once.")
    service.wait()
    service.stop()
    raise typer.Exit(INTERRUPTED if service.killed else 0)


def _stop_on_signals(service: EmbeddedService) -> Event:
    """The first signal asks for an orderly stop and sets the event, any other stops at once."""
    asked = Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            service.kill()
        asked.set()
        service.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever started us may want one ignored: nohup does so with SIGHUP.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    return asked


def _print_banner(entry: ServiceEntry) -> None:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("service", f"[bold]{entry['url']}[/]")
    facts.add_row("docs", f"{entry['url']}/docs")
    facts.add_row("key", escape(entry["key_file"]))
    facts.add_row("data", escape(entry["data_dir"]))
    results.print(Panel(facts, title="Secateur is ready", title_align="left", expand=False))
    if Path(entry["data_dir"]) == default_data_dir().absolute():
        say("The other commands find it by themselves. Ctrl-C stops it.")
    else:
        words = shlex.join([f"{DATA_DIR_VARIABLE}={entry['data_dir']}"])
        say(f"For the other commands: [bold]export {escape(words)}[/]. Ctrl-C stops it.")
