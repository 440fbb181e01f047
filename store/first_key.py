"""Makes the first admin key of a service: `python -m store.first_key [--team NAME] [--file PATH]`."""

import argparse
import os
from pathlib import Path

from store.engine import Database, open_database
from store.keys import Scope, authenticate, create_key, ensure_team
from store.settings import Settings


def first_key(database: Database, team: str, file: Path | None, server_secret: str = "") -> str:
    """Return a working key with all scopes: the one in the file if it still works, else a new one.

    Args:
        database: Where keys are kept; migrated.
        team: The name of the key's team, made if need be.
        file: Where the key is kept in the clear, readable by its owner alone; None keeps it nowhere.
        server_secret: What its hash is keyed with.
    """
    if file is not None and file.exists():
        plaintext = file.read_text().strip()
        with database.read() as session:
            if authenticate(session, plaintext, server_secret) is not None:
                return plaintext
    with database.write() as session:
        team_id = ensure_team(session, team).id
        _, plaintext = create_key(session, team_id, "first admin key", list(Scope), server_secret=server_secret)
    if file is not None:
        _write_private(file, plaintext + "\n")
    return plaintext


def _write_private(file: Path, text: str) -> None:
    """Write a file that was never readable by anyone else, not even for a moment."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    fresh.replace(file)


def main() -> None:
    """Print the key, or write it to the file that was named."""
    parser = argparse.ArgumentParser(prog="python -m store.first_key", description=__doc__)
    parser.add_argument("--team", default="default", help="the key's team; made if there is none of that name")
    parser.add_argument("--file", type=Path, help="keep the key here (mode 0600) and print nothing")
    arguments = parser.parse_args()
    settings = Settings()
    database = open_database(settings.database_url)
    plaintext = first_key(database, arguments.team, arguments.file, settings.plain_server_secret)
    if arguments.file is None:
        print(plaintext)


if __name__ == "__main__":
    main()
