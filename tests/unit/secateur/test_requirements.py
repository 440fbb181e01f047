"""What is not installed is told before anything is started."""

from pathlib import Path

import pytest

from secateur import EmbeddedError, EmbeddedService
from secateur.embedded import requirements
from secateur.embedded.programs import TRAINER_GRACE_S
from store import Settings


def test_missing_packages_are_named_with_the_command_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "NEEDED", ("json", "no_such_server", "no_such_trainer"))
    with pytest.raises(EmbeddedError, match=r"no_such_server, no_such_trainer.*pip install 'secateur\[all\]'"):
        EmbeddedService(tmp_path / "data").start()
    assert not (tmp_path / "data").exists()


def test_a_service_that_runs_no_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="workers is 0"):
        EmbeddedService(tmp_path, workers=0)


def test_what_was_not_started_has_no_address(tmp_path: Path) -> None:
    service = EmbeddedService(tmp_path)
    assert not service.ready
    with pytest.raises(EmbeddedError, match="was not started"):
        _ = service.url
    service.stop()


def test_a_worker_is_given_the_grace_that_it_gives_its_trainer() -> None:
    assert Settings.model_fields["stop_grace_s"].default == TRAINER_GRACE_S
