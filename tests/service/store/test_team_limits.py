"""An operator sets a team's limits from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from store import Database
from store.tables import Team
from tests.service.store.garden import make_team


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as an operator would."""
    return subprocess.run(
        [sys.executable, "-m", "store.team_limits", *arguments],
        env={"SECATEUR_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_what_is_given_changes_and_the_rest_stays(database: Database, database_url: str) -> None:
    team = make_team(database, "research", max_queued=7)
    said = command(database_url, "research", "--max-running", "2", "--weight", "1.5")
    assert (said.returncode, said.stdout) == (0, "research: max_running 2, max_queued 7, weight 1.5\n"), said.stderr
    assert command(database_url, "research", "--max-running", "default").returncode == 0
    with database.read() as session:
        row = session.get_one(Team, team)
    assert (row.max_running, row.max_queued, row.weight) == (None, 7, 1.5)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["nobody", "--weight", "2"], 1, "There is no team 'nobody'. Make it with its first key: secateur keys create"),
        (["nobody", "--weight", "0"], 2, "0 is not a number from 0.001 on"),
        (["nobody", "--weight", "nan"], 2, "nan is not a number"),
        (["nobody", "--max-queued", "-1"], 2, "-1"),
    ],
)
def test_nonsense_is_refused(sqlite_url: str, arguments: list[str], code: int, why: str) -> None:
    said = command(sqlite_url, *arguments)
    assert said.returncode == code
    assert why in said.stderr


def test_a_database_that_is_not_the_services_is_told_in_a_sentence(tmp_path: Path) -> None:
    said = command(f"sqlite:///{tmp_path / 'other.db'}", "research", "--weight", "2")
    assert said.returncode == 1
    assert said.stderr.startswith("The database cannot be written")
    assert "SECATEUR_DATABASE_URL" in said.stderr
    assert "Traceback" not in said.stderr
