"""Where a waiting job stands: its position in the line, told by counting and not by lining everybody up.

The line is the order in which claims would take the jobs that wait if none that runs ended meanwhile. So a team's n-th
job stands where the team has its turn with n - 1 more running jobs than now. Jobs that a limit holds back even then
stand at the end; those that back off after a crash, or ask for more GPUs than any worker offers, are not in the line.
One look at the queue's index gives, by team, all that the position depends on.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, select, tuple_

from store.engine import ReadSession
from store.isolation import ACROSS_TEAMS
from store.scheduling import backs_off, is_waiting, most_running, running_jobs
from store.tables import Job, Team
from store.workers import fits_a_worker


@dataclass(frozen=True, slots=True)
class TeamInLine:
    """A team's jobs as one waiting job sees them.

    Attributes:
        team_id: which team.
        weight: its weight.
        running: how many of its jobs hold a worker.
        limit: how many may; None is no limit.
        waiting: how many wait.
        above: how many of these have a higher priority than the one that looks.
        equal: how many the same, itself among them.
        older: how many the same, and stand before it by age.
    """

    team_id: str
    weight: float
    running: int
    limit: int | None
    waiting: int
    above: int
    equal: int
    older: int

    def share(self, before: int) -> float:
        """What decides between teams when so many more of this one's jobs run."""
        return (self.running + before) / self.weight

    @property
    def may_begin(self) -> int:
        """How many of its waiting jobs no limit holds back."""
        return self.waiting if self.limit is None else min(self.waiting, max(0, self.limit - self.running))

    def ahead(self, share: float, is_held: bool) -> int:
        """How many of its jobs stand before the one that looks, given that one's share and whether a limit holds it."""
        equal = bisect_left(range(self.equal), share, key=lambda number: self.share(self.above + number))
        if equal < min(self.equal, self.older) and self.share(self.above + equal) == share:
            equal += 1
        turns = self.above + equal
        return max(turns, self.may_begin) if is_held else min(turns, self.may_begin)


@dataclass(frozen=True, slots=True)
class Standing:
    """A job's position (1 is next), whether a limit holds it back, and how many jobs of which team stand before it."""

    position: int
    is_held: bool
    ahead: Sequence[tuple[TeamInLine, int]]


def is_in_line() -> ColumnElement[bool]:
    """True for the jobs that wait for nothing but their turn."""
    return and_(is_waiting(), ~backs_off(), fits_a_worker())


def standings_of(session: ReadSession, jobs: Sequence[Job], max_running: int | None) -> dict[str, Standing]:
    """Say by id where jobs stand that a team queued one right after the other; those not in the line are left out.

    One look at the line is enough for all of the same priority: between them stands nobody.

    Args:
        session: Where to read.
        jobs: Which, in their order.
        max_running: The limit of running jobs of teams without one of their own; None is no limit.
    """
    asked = {"team_id": jobs[0].team_id, "job_ids": [job.id for job in jobs]}
    in_line = set(session.scalars(_in_line(), asked))
    alike: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        if job.id in in_line:
            alike.setdefault((job.queue, job.priority), []).append(job)
    found: dict[str, Standing] = {}
    for (queue, priority), group in alike.items():
        last = group[-1]
        seen_by = {"queue": queue, "priority": priority, "created_at": last.created_at, "job_id": last.id}
        rows = session.execute(_line(max_running), seen_by, execution_options=ACROSS_TEAMS)
        teams = [TeamInLine(*row) for row in rows]
        for behind, job in enumerate(reversed(group)):
            if standing := _standing(teams, job.team_id, behind):
                found[job.id] = standing
    return found


def _standing(teams: Sequence[TeamInLine], team_id: str, behind: int) -> Standing | None:
    """Where a team's job stands, given what the last of its group sees, and how many of that stand behind the job.

    None if it was claimed between the statements.
    """
    last = next((team for team in teams if team.team_id == team_id), None)
    if last is None:
        return None
    own = replace(last, older=max(0, last.older - behind))
    before = own.above + own.older
    is_held = before >= own.may_begin
    seen = (own if team is last else team for team in teams)
    ahead = [(team, count) for team in seen if (count := team.ahead(own.share(before), is_held))]
    return Standing(1 + sum(count for _, count in ahead), is_held, ahead)


# Built once: to put them together takes longer than the database does.


@cache
def _in_line() -> Select[str]:
    """Which of a team's jobs are in the line."""
    mine = (Job.team_id == bindparam("team_id"), Job.id.in_(bindparam("job_ids", expanding=True)))
    return select(Job.id).where(*mine, is_in_line())


@cache
def _line(max_running: int | None) -> Select[Any]:
    """What `TeamInLine` says of each team that has a job in a queue, as a job of a priority and an age sees it."""
    types = {"created_at": Job.created_at.type, "job_id": Job.id.type}
    its_age = tuple_(*(bindparam(name, type_=type_) for name, type_ in types.items()), types=list(types.values()))
    is_older = tuple_(Job.created_at, Job.id) < its_age
    priority = bindparam("priority", type_=Job.priority.type)
    jobs = (
        select(
            Job.team_id,
            func.count().label("waiting"),
            _count(Job.priority > priority).label("above"),
            _count(Job.priority == priority).label("equal"),
            _count(and_(Job.priority == priority, is_older)).label("older"),
        )
        .where(is_in_line(), Job.queue == bindparam("queue"))
        .group_by(Job.team_id)
        .subquery()
    )
    return select(
        Team.id,
        Team.weight,
        running_jobs(),
        most_running(max_running),
        jobs.c.waiting,
        jobs.c.above,
        jobs.c.equal,
        jobs.c.older,
    ).join(jobs, jobs.c.team_id == Team.id)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
