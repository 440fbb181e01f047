"""What a lease's keeper knows: since when the lease lasts, and what the trainer has printed."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Claim, Database, Settings, claim_next, logs_of
from tests.service.store.garden import make_team, submit_for
from worker.keeper import LeaseKeeper, safe_until
from worker.process import PULSE, Trainer
from worker.pulse import Pulse

SETTINGS = Settings(lease_s=60, poll_s=10)


@pytest.fixture
def claim(sqlite_database: Database) -> Claim:
    """A claimed job."""
    submit_for(sqlite_database, make_team(sqlite_database, "team"))
    with sqlite_database.write() as session:
        claimed = claim_next(session, "default", "worker-1", 60.0)
    assert claimed is not None
    return claimed


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The attempt's folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def since() -> float:
    """When the claim was asked for: it took half a minute to come."""
    return time.monotonic() - 30.0


@pytest.fixture
def trainer(claim: Claim, scratch: Path, since: float) -> Iterator[Trainer]:
    """Its trainer, which has ended."""
    trainer = Trainer(claim, scratch, {}, safe_until(since, SETTINGS))
    trainer.kill()
    yield trainer
    trainer.kill()


@pytest.fixture
def keeper(sqlite_database: Database, claim: Claim, trainer: Trainer, since: float) -> Iterator[LeaseKeeper]:
    """Its keeper."""
    keeper = LeaseKeeper(sqlite_database, claim.fence, SETTINGS, trainer, since)
    yield keeper
    keeper.stop()


def test_a_lease_lasts_from_when_it_was_asked_for(keeper: LeaseKeeper, scratch: Path, since: float) -> None:
    assert keeper.safe_until < since + 60.0
    # Should the supervisor stand still from the trainer's first moment, the trainer knows when to stop.
    assert Pulse(scratch / PULSE).deadline == keeper.safe_until


def test_a_log_outlives_the_folder_that_it_was_printed_to(
    sqlite_database: Database, claim: Claim, keeper: LeaseKeeper, scratch: Path
) -> None:
    (scratch / "trainer.log").write_text("Step 7.\n")
    keeper.write_log()
    shutil.rmtree(scratch)
    keeper.write_log()  # as after a renewal that hung until all was over
    with sqlite_database.read() as session:
        [log] = logs_of(session, claim.team_id, claim.fence.job_id)
    assert log.text == "Step 7.\n"
