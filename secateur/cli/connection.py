"""Which service a command talks to."""

from dataclasses import dataclass

import typer

from secateur.client import Client


@dataclass(frozen=True)
class Chosen:
    """What `--url` and `--key` said."""

    url: str | None
    key: str | None


def connect(context: typer.Context) -> Client:
    """The client for the service that this command line means.

    Raises:
        NotConfigured: There is no address or key to use.
    """
    chosen = context.find_object(Chosen)
    return Client() if chosen is None else Client(chosen.url, chosen.key)
