"""`secateur keys create`, `list`, `rotate` and `revoke`."""

from enum import Enum
from typing import Annotated, cast

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.output import AsJson, age_text, print_json, results, say, table, time_text
from secateur.embedded.host_keys import create_on_host
from secateur.key_calls import USUAL_SCOPES
from secateur.resources import KeyScope, NewKey

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

DAY_S = 86_400.0
HOUR_S = 3600.0

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_….", show_default=False)]


class _Scope(Enum):
    """The scopes, in the form that Typer makes choices of."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.", show_default=False)],
    *,
    scope: Annotated[
        list[_Scope] | None,
        typer.Option(help="What it allows; may be repeated. Default: read and submit.", show_default=False),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.001, help="How long it is good. Default: until revoked.")] = None,
    team: Annotated[
        str | None,
        typer.Option(help="Make the key on the database itself, for this team, which is made if need be."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it, this once.

    With --team no key is needed: it is made on the database of SECATEUR_DATABASE_URL, else on that of `secateur up` on
    this machine. So the first key of a team comes to be.
    """
    scopes = cast(list[KeyScope], [each.value for each in scope]) if scope else USUAL_SCOPES
    life_s = None if days is None else days * DAY_S
    if team is not None:
        made = create_on_host(team, name, scopes, life_s)
    else:
        with connect(context) as client:
            made = client.create_key(name, scopes, life_s)
    _show_once(made, as_json=as_json)


@app.command("list")
def list_keys(
    context: typer.Context,
    revoked: Annotated[bool, typer.Option("--revoked", help="List those that were revoked instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the team's keys, newest first."""
    with connect(context) as client:
        keys = list(client.keys(revoked=revoked))
    if as_json:
        print_json(keys)
        return
    listing = table("id", "scopes", "age", "last used", "expires", "name")
    for key in keys:
        used = key["last_used_at"]
        listing.add_row(
            key["id"],
            " ".join(key["scopes"]),
            age_text(key["created_at"]),
            f"{age_text(used)} ago" if used else "never",
            time_text(key["expires_at"]),
            escape(key["name"]),
        )
    results.print(listing)


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old key stays good beside the new one.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one of the same name and scopes, and print that."""
    with connect(context) as client:
        made = client.rotate_key(key_id, overlap_hours * HOUR_S)
    _show_once(made, as_json=as_json)


@app.command()
def revoke(context: typer.Context, key_id: KeyId, as_json: AsJson = False) -> None:
    """End a key at once."""
    with connect(context) as client:
        client.revoke_key(key_id)
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        say(f"{key_id} is revoked.")


def _show_once(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    results.print(made["key"], soft_wrap=True)
    ends = f", until {time_text(made['expires_at'])}" if made["expires_at"] else ""
    say(f"Created {made['id']} with {' '.join(made['scopes'])}{ends}. It is shown this once.")
