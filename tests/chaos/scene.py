"""One storm over one kind of database, from the first start to the verdict."""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack

import httpx

from tests.chaos.auditor import Verdict, audit
from tests.chaos.faults import FAULTS
from tests.chaos.jobs import Accepted, Checksums, Spec, Submitter, checksums, undisturbed, upload
from tests.chaos.report import Outcome
from tests.chaos.stage import Kind, Stage
from tests.chaos.storm import Storm
from tests.chaos.watcher import Watcher

#: One more than there are workers: there is always a job that waits for a doorbell.
_OPEN_JOBS = 3


def play(
    kind: Kind,
    *,
    seed: int,
    count: int,
    specs: Sequence[Spec],
    minutes: float = 60.0,
    references: list[Checksums] | None = None,
    only: Collection[str] = (),
    tell: Callable[[str], None] = print,
) -> Outcome:
    """Start everything, inject faults while jobs run, let every job end, and judge.

    Args:
        kind: of which database.
        seed: decides which faults, when, on whom, and which jobs.
        count: how many faults.
        specs: what the jobs are.
        minutes: when to stop even if there were fewer faults.
        references: what each spec leaves behind in peace; where empty, it is found out first and put here.
        only: names of faults; empty: all.
        tell: what is told of the progress.
    """
    references = [] if references is None else references
    chance = random.Random(seed)
    with Stage(kind) as stage, ExitStack() as ending:
        with stage.client(timeout_s=30) as client:
            inputs = upload(client, stage.folder)
            if not references:
                tell(f"{kind}: {len(specs)} undisturbed runs")
                references += undisturbed(client, inputs, specs)
            peaceful = {job["id"] for job in client.get("/v1/jobs").raise_for_status().json()["data"]}
        submitter = Submitter(stage, specs, inputs, seed, _OPEN_JOBS)
        watcher = Watcher(stage.database.url)
        for thread, end in ((watcher, watcher.stop), (submitter, submitter.abandon)):
            thread.start()
            ending.callback(end)
        storm = Storm(stage, submitter, watcher, chance, tell)
        here = [fault for fault in FAULTS if kind in fault.on and (not only or fault.name in only)]
        skipped = {fault.name: why for fault in here if (why := fault.impossible(stage)) is not None}
        for name, why in skipped.items():
            tell(f"SKIPPED {name}: {why}")
        possible = [fault for fault in here if fault.name not in skipped]
        assert possible, f"None of the chosen faults can be injected into {kind} here."
        storm.run(possible, count, time.monotonic() + 60 * minutes)
        storm.calm()
        accepted = submitter.accepted
        verdict = audit(stage.database.url, accepted, peaceful)
        for job_id in watcher.seen_twice:
            verdict.doubled[job_id] = "It was seen with two live attempts at a time."
        with stage.client(timeout_s=30) as client:
            _compare(verdict, client, accepted, references)
            attempts = sum(client.get(f"/v1/jobs/{id_}").raise_for_status().json()["attempt"] for id_ in accepted)
        if verdict.jobs:
            tell(stage.keep_logs())
        return Outcome(
            kind=kind,
            injections=storm.injections,
            verdict=verdict,
            jobs=len(accepted),
            attempts=attempts,
            looks=watcher.looks,
            skipped=skipped,
            unexpected_ends=stage.unexpected_ends,
            refusals=submitter.refusals,
        )


def _compare(
    verdict: Verdict, client: httpx.Client, accepted: Mapping[str, Accepted], references: Sequence[Checksums]
) -> None:
    """See that each job has succeeded, with the same masks and weights as in peace."""
    for job_id, job in accepted.items():
        if job_id in verdict.lost:
            continue
        now = client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        if now["status"] != "succeeded":
            verdict.wrong[job_id] = f"It {now['status']}: {now['error']}"
        elif (found := checksums(client, job_id)) != references[job.spec]:
            verdict.wrong[job_id] = f"Of spec {job.spec} came {found}; in peace {references[job.spec]}."
