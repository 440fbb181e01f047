"""What came out: a table for people, and one line of JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.auditor import Verdict
from tests.chaos.stage import Kind
from tests.chaos.storm import Injection


@dataclass
class Outcome:
    """One storm over one kind of database.

    Attributes:
        kind: which.
        injections: every fault, in order.
        verdict: what the auditor found.
        jobs: how many were accepted.
        attempts: how many attempts they took.
        looks: how often the live attempts were counted.
        skipped: faults that could not be injected here, and why.
        unexpected_ends: programs that ended by themselves.
        refusals: what made the client try again.
    """

    kind: Kind
    injections: Sequence[Injection]
    verdict: Verdict
    jobs: int
    attempts: int
    looks: int
    skipped: dict[str, str] = field(default_factory=dict)
    unexpected_ends: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    def survived(self, injection: Injection) -> bool:
        """Whether everything went on after a fault, and every job that was open then kept its promise."""
        return injection.recovery_s is not None and not injection.open_jobs & self.verdict.jobs

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.verdict.jobs and all(self.survived(each) for each in self.injections)


def table(outcome: Outcome) -> str:
    """Every fault with how often it was injected and survived, and how long recovery took."""
    lines = [f"{'fault (' + outcome.kind + ')':34}{'times':>6}{'survived':>10}{'median s':>10}{'max s':>8}"]
    for name in sorted({each.fault for each in outcome.injections}):
        these = [each for each in outcome.injections if each.fault == name]
        recovery = _seconds(these)
        numbers = f"{median(recovery):10.1f}{max(recovery):8.1f}" if recovery else f"{'–':>10}{'–':>8}"
        lines.append(f"{name:34}{len(these):6d}{sum(map(outcome.survived, these)):10d}{numbers}")
    lines += [f"{name:34}  skipped: {why}" for name, why in outcome.skipped.items()]
    lines.append(
        f"{outcome.jobs} jobs accepted, {outcome.attempts} attempts; live attempts counted {outcome.looks} times"
    )
    if outcome.refusals:
        lines.append(
            "the client tried again after: " + ", ".join(f"{n} × {why}" for why, n in outcome.refusals.items())
        )
    if outcome.unexpected_ends:
        lines.append(f"ended by themselves and were started again: {', '.join(outcome.unexpected_ends)}")
    for title, found in (
        ("LOST", outcome.verdict.lost),
        ("DOUBLED", outcome.verdict.doubled),
        ("WRONG", outcome.verdict.wrong),
    ):
        lines += [f"{title} {job_id}: {sentence}" for job_id, sentence in found.items()]
    return "\n".join(lines)


def last_line(outcomes: Sequence[Outcome]) -> str:
    """The figures as one JSON object."""
    recovery = _seconds(each for outcome in outcomes for each in outcome.injections)
    return json.dumps(
        {
            "faults": sum(len(outcome.injections) for outcome in outcomes),
            "lost": sum(len(outcome.verdict.lost) for outcome in outcomes),
            "doubled": sum(len(outcome.verdict.doubled) for outcome in outcomes),
            "wrong": sum(len(outcome.verdict.wrong) for outcome in outcomes),
            "recovery_s": {
                "median": round(median(recovery), 2) if recovery else None,
                "max": round(max(recovery), 2) if recovery else None,
            },
        }
    )


def _seconds(injections: Iterable[Injection]) -> list[float]:
    return [each.recovery_s for each in injections if each.recovery_s is not None]
