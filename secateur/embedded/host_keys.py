"""Keys made on the database itself, by whoever may write to it: how the first key of a team comes to be."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec
from typing import cast

from secateur.address import default_data_dir
from secateur.embedded.data_dir import DataDir
from secateur.errors import EmbeddedError, MissingExtras, NotConfigured
from secateur.resources import KeyScope, NewKey

DATABASE_VARIABLE = "SECATEUR_DATABASE_URL"


def create_on_host(team: str, name: str, scopes: Collection[KeyScope], expires_in_s: float | None) -> NewKey:
    """Make a key without asking the service: on the database that the environment names, else the local one.

    Args:
        team: Whose key; the team is made if there is none of that name.
        name: What it is for.
        scopes: What it allows.
        expires_in_s: How long it is good, in seconds; None is until it is revoked.

    Raises:
        NotConfigured: No database is known.
        MissingExtras: The service's packages are not installed here.
        EmbeddedError: The database cannot be written.
    """
    if missing := [package for package in ("sqlalchemy", "store") if find_spec(package) is None]:
        raise MissingExtras(missing)
    command = [sys.executable, "-m", "store.make_key", "--team", team, "--name", name]
    for scope in sorted(scopes):
        command += ["--scope", scope]
    if expires_in_s is not None:
        command += ["--expires-in-s", str(expires_in_s)]
    made = subprocess.run(command, env=os.environ | _database(), capture_output=True, text=True, check=False)
    if made.returncode != 0:
        lines = made.stderr.strip().splitlines() or ["it said nothing"]
        raise EmbeddedError(f"The key was not made: {lines[-1]}")
    return cast(NewKey, json.loads(made.stdout))


def _database() -> dict[str, str]:
    """What names the database, where the environment does not."""
    if os.environ.get(DATABASE_VARIABLE):
        return {}
    files = DataDir(default_data_dir())
    if not files.database.exists():
        raise NotConfigured(
            f"No database is known: {DATABASE_VARIABLE} is not set, and there is none in {files.path}. Set it, or run "
            "this on the machine of the service."
        )
    return files.environment()
