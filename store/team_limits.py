"""Sets a team's limits and weight: `python -m store.team_limits TEAM [--max-running N] [--max-queued N] …`."""

import argparse
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import select

from store.engine import DATABASE_AWAY, WriteSession, open_database
from store.errors import NotFound
from store.settings import Settings
from store.tables import Team

T = TypeVar("T", int, float)


def set_team_limits(session: WriteSession, name: str, limits: Mapping[str, float | None]) -> Team:
    """Change a team's limits and return it.

    Args:
        session: Committed by its owner.
        name: The team's name.
        limits: New values of `max_running`, `max_queued` (None is the setting's default) and `weight`; what is left
            out stays as it is.

    Raises:
        NotFound: There is no such team.
    """
    team = session.scalar(select(Team).where(Team.name == name).with_for_update(key_share=True))
    if team is None:
        raise NotFound("team", name)
    for column, value in limits.items():
        setattr(team, column, value)
    session.flush()
    return team


def _at_least(least: T, kind: Callable[[str], T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        value = kind(text)
        if not math.isfinite(value) or value < least:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least:g} on.")
        return value

    return read


def _limit(text: str) -> int | None:
    return None if text == "default" else _at_least(0, int)(text)


def main() -> None:
    """Set what was given, and print all of it."""
    parser = argparse.ArgumentParser(
        prog="python -m store.team_limits", description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("team", help="the team's name")
    parser.add_argument("--max-running", type=_limit, metavar="N", help="jobs at once; `default`: as in the settings")
    parser.add_argument("--max-queued", type=_limit, metavar="N", help="waiting jobs; `default`: as in the settings")
    parser.add_argument("--weight", type=_at_least(0.001, float), metavar="W", help="its share beside other teams'")
    limits = vars(parser.parse_args())
    name = limits.pop("team")
    database = open_database(Settings().database_url)
    try:
        with database.write() as session:
            team = set_team_limits(session, name, limits)
    except NotFound:
        parser.exit(
            1, f"There is no team {name!r}. Make it with its first key: secateur keys create --team {name} NAME\n"
        )
    except DATABASE_AWAY as error:
        why = str(error).partition("\n")[0]
        parser.exit(1, f"The database cannot be written: {why}. Is SECATEUR_DATABASE_URL that of the service?\n")
    finally:
        database.close()
    running, queued = ("default" if each is None else each for each in (team.max_running, team.max_queued))
    print(f"{name}: max_running {running}, max_queued {queued}, weight {team.weight:g}")


if __name__ == "__main__":
    main()
