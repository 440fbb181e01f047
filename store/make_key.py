"""Makes an API key on the database itself: `python -m store.make_key --team NAME [--name …] [--scope …] …`.

It prints the key as the JSON that `POST /v1/keys` answers with. `secateur keys create --team` calls it.
"""

import argparse
import json

from store.audit import Call, record_call
from store.engine import DATABASE_AWAY, open_database
from store.keys import Scope, create_key, ensure_team
from store.settings import Settings


def main() -> None:
    """Make the key and print it."""
    parser = argparse.ArgumentParser(prog="python -m store.make_key", description=__doc__)
    parser.add_argument("--team", required=True, help="the key's team; made if there is none of that name")
    parser.add_argument("--name", default="unnamed", help="what the key is for")
    parser.add_argument("--scope", action="append", choices=[str(scope) for scope in Scope], help="may be repeated")
    parser.add_argument("--expires-in-s", type=float, help="how long it is good; until revoked unless told")
    arguments = parser.parse_args()
    settings = Settings()
    database = open_database(settings.database_url)
    try:
        with database.write() as session:
            team_id = ensure_team(session, arguments.team).id
            key, text = create_key(
                session,
                team_id,
                arguments.name,
                {Scope(scope) for scope in arguments.scope or (Scope.READ, Scope.SUBMIT)},
                expires_in_s=arguments.expires_in_s,
                server_secret=settings.plain_server_secret,
            )
            call = Call(
                team_id=team_id, key_id=None, method="host", route="store.make_key", target_id=key.id, status=201
            )
            record_call(session, call)
    except DATABASE_AWAY as error:
        why = str(error).partition("\n")[0]
        parser.exit(1, f"The database cannot be written: {why}. Has `python -m store.migrate` been run?\n")
    finally:
        database.close()
    shown = {"id": key.id, "name": key.name, "scopes": key.scopes, "created_at": key.created_at.isoformat()}
    ends = {"expires_at": None if key.expires_at is None else key.expires_at.isoformat()}
    print(json.dumps({**shown, **ends, "url": f"/v1/keys/{key.id}", "key": text}))


if __name__ == "__main__":
    main()
