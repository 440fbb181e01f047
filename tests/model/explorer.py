"""Visits every state that a model can reach, breadth first: the first broken promise comes with a shortest story.

It knows nothing of jobs: a model is a start, a function that yields the steps from a state, and promises.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A promise that was broken, and the shortest way there."""

    promise: str
    story: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"Broken: {self.promise}", *(f"{n:3}. {step}" for n, step in enumerate(self.story, start=1))])


@dataclass(slots=True)
class Explored(Generic[State, Step]):
    """All that was found."""

    number_of: dict[State, int]
    edges: list[tuple[int, Step, int]]
    came_by: list[tuple[int, Step] | None] = field(repr=False)
    broken: Counterexample | None = None

    def story_of(self, state: State) -> tuple[str, ...]:
        """Return a shortest way from the start to a state, in words."""
        story, came = list[str](), self.came_by[self.number_of[state]]
        while came is not None:
            before, step = came
            story.append(str(step))
            came = self.came_by[before]
        return tuple(reversed(story))

    def stuck(self, good: Callable[[State], bool], helpful: Callable[[Step], bool]) -> list[State]:
        """Return the states from which no way of helpful steps leads to a good one, those nearest the start first.

        Found backwards: from the good states along the steps that lead to them. Where every state has a way, neither
        a deadlock nor a circle without an exit can exist.
        """
        sources: list[list[int]] = [[] for _ in self.number_of]
        for before, step, after in self.edges:
            if helpful(step):
                sources[after].append(before)
        saved = {number for state, number in self.number_of.items() if good(state)}
        frontier = list(saved)
        while frontier:
            for source in sources[frontier.pop()]:
                if source not in saved:
                    saved.add(source)
                    frontier.append(source)
        return [state for state, number in self.number_of.items() if number not in saved]


def explore(
    start: State,
    steps: Callable[[State], Iterable[tuple[Step, State]]],
    *,
    promises: Collection[Callable[[State], str | None]] = (),
    step_promises: Collection[Callable[[State, Step, State], str | None]] = (),
    fold: Callable[[State], State] = lambda state: state,
) -> Explored[State, Step]:
    """Visit every state that can be reached; stop at the first step that breaks a promise.

    Args:
        start: Where everything begins.
        steps: The steps from a state, each with the state after it.
        promises: Each says what is wrong with a state, or None.
        step_promises: Each says what is wrong with a step from one state to another, or None.
        fold: Gives the state that stands for all its mirror images. The names in a story then mean nothing.
    """
    start = fold(start)
    explored: Explored[State, Step] = Explored({start: 0}, [], [None])
    frontier = deque([start])
    while frontier:
        before = frontier.popleft()
        number = explored.number_of[before]
        for step, reached in steps(before):
            after = fold(reached)
            known = explored.number_of.setdefault(after, len(explored.number_of))
            explored.edges.append((number, step, known))
            # before folding: a promise may speak of one job before and after
            wrong = next((wrong for promise in step_promises if (wrong := promise(before, step, reached))), None)
            if known == len(explored.came_by):
                explored.came_by.append((number, step))
                frontier.append(after)
                wrong = wrong or next((wrong for promise in promises if (wrong := promise(reached))), None)
            if wrong is not None:
                explored.broken = Counterexample(wrong, (*explored.story_of(before), str(step)))
                return explored
    return explored
