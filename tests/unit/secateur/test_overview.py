"""Many jobs at one glance."""

import io
from typing import cast

import pytest
from rich.console import Console

from secateur.cli import overview
from secateur.resources import Comparison


def test_a_value_as_long_as_77_labels_leaves_room_for_the_other_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = str([f"label_{number}" for number in range(77)])
    job = {
        "name": None,
        "status": "succeeded",
        "eval": {"accuracy": 0.5},
        "dense_eval": {"accuracy": 0.6},
        "relative": 0.9,
        "density": {"prunable": 0.1},
        "bytes": {"packed": 1000},
        "runtime_s": 3.0,
    }
    jobs = [job | {"job": f"job_{number:032d}"} for number in range(3)]
    differences = {"method": ["movement", "l0", "obd"], "labels": [labels, None, None]}
    written = io.StringIO()
    monkeypatch.setattr(overview, "results", Console(file=written, width=80))
    overview._print(cast(Comparison, {"jobs": jobs, "differences": differences}))
    text = written.getvalue()
    assert all(shown in text for shown in ("movement", "l0", "obd", "['label_0', 'label_1', …", "00000002"))
    assert text.count("succeeded") == 3
