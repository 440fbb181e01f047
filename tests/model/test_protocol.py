"""Claim, renew, write, end, expire, cancel: whatever 2 workers do to 2 jobs, in whatever order, the promises hold.

`pytest -s tests/model` prints how many states that are, and how the promises break when a condition is taken away.
"""

from collections.abc import Collection, Iterable
from functools import cache

import pytest

from store.states import ALLOWED, TERMINAL, JobStatus
from tests.model import promises, protocol
from tests.model.explorer import Counterexample, Explored, explore
from tests.model.protocol import ACTIONS, UNHELPFUL, Action, State, Step, folded, start, steps
from tests.model.rows import ALL, Guard, Guards

FREEZING = (protocol.freeze, protocol.thaw)
GIVING_BACK = (protocol.give_back,)
PAUSING = (protocol.pause, protocol.resume, protocol.leave_to_pause)

# All at once are many times as many states and tell nothing new: freezing only lets a worker's next step come late,
# which every order of steps that is tried does anyway (a test below says so), and a job that was paused is one that was
# given back and waits for its user. So all of it is tried with one job, over which two workers can fight as well.
WITH = {
    "freezing": FREEZING,
    "giving back": GIVING_BACK,
    "all of it": FREEZING + GIVING_BACK + PAUSING,
    "none of it": (),
}
JOBS = {"all of it": 1}
LEAST = {"freezing": 20_000, "giving back": 30_000, "all of it": 2_000}


@cache
def everything(having: str) -> Explored[State, Step]:
    """All that can be reached when every condition is in force; explored once."""
    out = {*WITH["all of it"]} - {*WITH[having]}
    return explored(ALL, [action for action in ACTIONS if action not in out], JOBS.get(having, 2))


def explored(guards: Guards, actions: Iterable[Action], jobs: int) -> Explored[State, Step]:
    return explore(
        start(jobs=jobs),
        lambda state: steps(state, guards, actions),
        promises=[promises.one_effective_owner(guards), *promises.OF_STATES],
        step_promises=promises.OF_STEPS,
        fold=folded,
    )


def all_ended(state: State) -> bool:
    """Whether each job has ended, or waits for its user."""
    return all(row.status in TERMINAL or row.status is JobStatus.PAUSED for row in state.jobs)


def helps(step: Step) -> bool:
    return step.verb not in UNHELPFUL


@pytest.mark.slow
@pytest.mark.parametrize("having", LEAST)
def test_no_state_with_two_effective_owners_can_be_reached_nor_any_that_breaks_another_promise(having: str) -> None:
    found = everything(having)
    print(f"\nwith {having}: {len(found.number_of):,} states, {len(found.edges):,} steps")
    assert found.broken is None, str(found.broken)
    assert len(found.number_of) > LEAST[having]


@pytest.mark.slow
@pytest.mark.parametrize("having", LEAST)
def test_from_every_state_all_jobs_can_still_end_without_a_user_and_without_another_failure(having: str) -> None:
    found = everything(having)
    assert [found.story_of(state) for state in found.stuck(all_ended, helps)[:1]] == []


@pytest.mark.slow
def test_freezing_leads_to_nothing_that_a_late_step_does_not_lead_to() -> None:
    def awake(state: State) -> State:
        return folded(state._replace(workers=tuple(worker._replace(frozen=False) for worker in state.workers)))

    frozen = set(everything("freezing").number_of)
    assert {awake(state) for state in frozen} == set(everything("none of it").number_of)


@pytest.mark.slow
def test_the_model_goes_wherever_the_store_may_go_and_nowhere_else() -> None:
    found = everything("all of it")
    status = [state.jobs[0].status for state in found.number_of]
    taken = {(status[before], status[after]) for before, _, after in found.edges if status[before] is not status[after]}
    allowed = {(status, after) for status in ALLOWED for after in ALLOWED[status]}
    assert taken == allowed


BREAKS = {
    Guard.FENCE: "job 1 has two effective owners",
    Guard.UNIQUE: "job 1 has two effective owners",
    Guard.CLAIM: "job 1 had ended as cancelled and is running",
    Guard.LAPSED: "job 1 was taken although its lease held",
}


@pytest.mark.parametrize("missing", BREAKS, ids=lambda guard: guard.name.lower())
def test_the_checker_finds_the_shortest_way_to_break_a_promise(missing: Guard) -> None:
    found = counterexample(ALL - {missing}, promises.OF_STEPS)
    print(f"\nWithout the condition that {missing}:\n{found}")
    assert found is not None
    assert found.promise == BREAKS[missing]


def test_the_checker_finds_that_an_expiry_without_a_condition_ends_a_job_twice() -> None:
    found = counterexample(ALL - {Guard.LIVE, Guard.LAPSED}, [promises.ended_once])
    print(f"\nWithout any condition in an expiry:\n{found}")
    assert found is not None
    assert found.promise.startswith("job 1 had ended as succeeded")
    assert found.story[-1] == "the reconciler expires job 1"


def test_the_checker_finds_that_without_a_reconciler_a_dead_workers_job_never_ends() -> None:
    found = explore(start(workers=1, jobs=1), lambda state: steps(state, ALL - {Guard.RECONCILER}))
    stuck = found.stuck(all_ended, helps)
    assert found.story_of(stuck[0]) == ("worker 1: choose job 1", "worker 1: claim job 1", "worker 1: die over job 1")


def counterexample(guards: Guards, of_steps: Collection[promises.StepPromise]) -> Counterexample | None:
    """Explore without folding, so that the names in the story mean something; the way to a break is short."""
    return explore(
        start(),
        lambda state: steps(state, guards),
        promises=[promises.one_effective_owner(guards), *promises.OF_STATES],
        step_promises=of_steps,
    ).broken
