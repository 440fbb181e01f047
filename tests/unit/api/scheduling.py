"""What decides whose jobs go next, changed behind the service."""

from sqlalchemy import update

from store import Job, Team
from tests.unit.api.calling import Api


def leave_the_line_to_us(api: Api) -> None:
    """Put the jobs of other teams, which other tests left there, into a line of their own."""
    with api.database.write() as session:
        session.execute(update(Job).where(Job.team_id != api.team).values(queue="elsewhere"))


def limit(api: Api, **limits: int) -> None:
    """Give the team limits of its own."""
    with api.database.write() as session:
        session.execute(update(Team).where(Team.id == api.team).values(**limits))
