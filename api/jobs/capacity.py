"""Whether any worker could run a job; where none could, it would wait without a word."""

from api.jobs.findings import Findings
from api.jobs.shelf import Reading
from api.jobs.spec import JobSpec
from store import most_gpus_offered


def check_workers(reading: Reading, spec: JobSpec, findings: Findings) -> None:
    """Note a job that asks for more GPUs than any worker offers that was seen lately.

    Advice and no refusal: the worker may be about to come. A job for one device is any worker's.
    """
    wanted = spec.training.gpus
    if wanted == 1:
        return
    offered = most_gpus_offered(reading())
    if offered < wanted:
        most = f"at most {offered} on one worker" if offered else "no worker at all"
        findings.advise(
            f"training.gpus is {wanted}, and the last hour saw {most}: the job waits until a worker comes that offers "
            "as many. Lower it, or start one (SECATEUR_WORKER_GPUS)."
        )
