"""Sweeps from a terminal and from Python."""

import json
from typing import Any, cast

import pytest

from secateur import Client, Conflict
from tests.service.secateur.up import Up, printed, secateur, shown

pytestmark = pytest.mark.slow


def test_a_sweep_runs_to_its_table(service: Up, client: Client, spec: dict[str, object]) -> None:
    base = {key: value for key, value in spec.items() if key not in ("method", "target_sparsity")}
    base["training"] = {"max_steps": 20, "batch_size": 8, "dense_baseline": False}
    sweep = {"name": "both", "base": base, "grid": {"method": ["magnitude"], "target_sparsity": [0.5, 0.9]}}
    refused = secateur(
        service.data_dir, "sweeps", "submit", "-", stdin=json.dumps(sweep | {"grid": {"method": ["no"]}})
    )
    assert (refused.code, "grid.method.0" in refused.err) == (1, True)
    done = secateur(
        service.data_dir, "sweeps", "submit", "-", "--watch", "--json", stdin=json.dumps(sweep), timeout=280.0
    )
    assert done.code == 0, done.err
    assert "may end where it answers everything alike" in done.err
    assert "(1 of 2 jobs)" in done.err
    made = cast(dict[str, Any], done.json)
    assert made["jobs_by_status"] == {"succeeded": 2}
    assert [row["density"]["mean"] for row in made["table"]] == pytest.approx([0.5, 0.1], abs=0.02)
    assert client.wait_for_sweep(made["id"]) == made
    assert "accuracy" in shown(service, "sweeps", "show", made["id"])
    shown_csv = shown(service, "sweeps", "show", made["id"], "--csv")
    assert shown_csv.splitlines() == client.sweep_csv(made["id"]).splitlines()
    with pytest.raises(Conflict):
        client.cancel_sweep(made["id"])
    assert printed(service, "sweeps", "delete", made["id"]) == {"id": made["id"], "deleted": True}
    assert made["id"] not in [each["id"] for each in client.sweeps()]


def test_a_sweep_is_submitted_once_and_cancelled(service: Up, client: Client, waiting_spec: dict[str, object]) -> None:
    sweep = {"base": waiting_spec, "grid": {"training.seed": [1, 2]}}
    made = client.submit_sweep(sweep, idempotency_key="sweep once")
    assert client.submit_sweep(sweep, idempotency_key="sweep once")["id"] == made["id"]
    assert made["id"] in shown(service, "sweeps", "list")
    assert made["id"] in shown(service, "sweeps", "cancel", made["id"])
    assert client.wait_for_sweep(made["id"], timeout_s=90)["status"] == "cancelled"
    client.delete_sweep(made["id"])
