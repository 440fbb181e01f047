"""One run of schemathesis against a stage."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.contract.stage import Stage

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        ended_well: nothing was found, and nothing went wrong while asking.
        cases: requests that were made up.
        operations: of the description, how many were asked.
        passed_over: refusals of what fits its schema that only the service can judge (`tests.contract.hooks`).
        refused_examples: operations that did not take the example of the description.
        output: what schemathesis printed.
    """

    ended_well: bool
    cases: int
    operations: int
    passed_over: int
    refused_examples: list[str]
    output: str


def ask(stage: Stage, seed: int, examples: int, further: Sequence[str] = ()) -> Outcome:
    """Make requests up from a service's description, send them, and check every answer with every check.

    Args:
        stage: the service.
        seed: says which requests.
        examples: how many of each operation by chance, besides the systematic ones.
        further: options of `schemathesis run`.
    """
    report = stage.folder / "report.json"
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = [str(schemathesis), "--config-file", str(CONFIGURATION), "run", str(stage.document), "--url", stage.url]
    command += ["--checks", "all", "--seed", str(seed), "--max-examples", str(examples), "--no-color"]
    command += ["--report", "json", "--report-json-path", str(report), *further]
    known = {"CONTRACT_KEY": stage.key, "CONTRACT_KEY_ID": stage.key_id, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, check=False, env={**os.environ, **known}, capture_output=True, text=True, cwd=stage.folder
    )
    printed = run.stdout + run.stderr
    assert report.exists(), printed
    found = json.loads(report.read_text(encoding="utf-8"))
    refused = [name for name, by in found["valid_rates"].items() if by.get("examples", {}).get("rejected", 0)]
    cases, operations = found["test_cases"]["generated"], found["operations"]["tested"]
    return Outcome(run.returncode == 0, cases, operations, found["filtered"], refused, printed)
