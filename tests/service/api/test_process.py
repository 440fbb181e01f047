"""What the API process carries, and what it shares with the core."""

import subprocess
import sys

import numpy as np

from api.jobs.labels import HOLDOUT, held_out_rows
from pruning_core.splits import HOLDOUT as CORE_HOLDOUT
from pruning_core.tasks.holdout import stratified_holdout

USED = "import resource; used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"
API = """
import api.app, sys
heavy = {"torch", "transformers"} & set(sys.modules)
assert not heavy, heavy
"""
#: What it is built of, and would have to import however it was written.
LIBRARIES = "import fastapi, sqlalchemy.orm, celery, redis.asyncio, pyarrow.csv, httpx, structlog"


def processor_seconds(code: str) -> float:
    """What a fresh interpreter uses for it: a busy machine does not count."""
    run = subprocess.run([sys.executable, "-c", f"{code}\n{USED}"], check=True, capture_output=True, text=True)
    return float(run.stdout)


def test_the_api_carries_no_torch_and_starts_soon() -> None:
    assert processor_seconds(API) < 3 * processor_seconds(LIBRARIES), "as a ratio: machines differ; torch adds two"


def test_the_rows_held_out_are_as_many_as_the_core_holds_out() -> None:
    assert HOLDOUT == CORE_HOLDOUT
    cases = [[200, 200], [16, 14], [25, 35, 45], [5, 15], [1, 6], [1, 1, 9], [999, 1001], [5] * 77, [1] * 30 + [2, 2]]
    for rows in cases:
        labels = np.repeat(np.arange(len(rows)), rows)
        _, held = stratified_holdout(labels, HOLDOUT, seed=42)
        assert len(held) == held_out_rows(rows), rows
