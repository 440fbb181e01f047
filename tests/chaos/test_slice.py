"""A few minutes' worth of `make chaos`: the same stage, jobs, faults and auditor, with a seed that stays."""

import pytest

from tests.chaos.jobs import Checksums, specs
from tests.chaos.report import table
from tests.chaos.scene import play
from tests.chaos.stage import Kind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Each once, in an order and at moments that the seed decides; `make chaos` has the other kinds, too.
SLICES: dict[Kind, list[str]] = {
    "sqlite": [
        "trainer killed",
        "supervisor killed",
        "api killed",
        "database frozen",
        "broker restarted empty",
        "doorbells forged",
    ],
    "postgres": [
        "worker killed",
        "supervisor stopped",
        "api stopped",
        "database frozen",
        "database crashed",
        "one worker's clock jumped",
    ],
}


@pytest.fixture(scope="module")
def references() -> list[Checksums]:
    """What the jobs leave behind in peace, found out by the first storm for both."""
    return []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_every_accepted_job_ends_once_as_if_nothing_had_happened(kind: Kind, references: list[Checksums]) -> None:
    wanted = SLICES[kind]
    outcome = play(kind, seed=4, count=len(wanted), specs=specs(150)[:2], references=references, only=wanted)
    assert {each.fault for each in outcome.injections} | set(outcome.skipped) == set(wanted)
    assert outcome.looks > 0
    assert outcome.good, table(outcome)
