"""Waiting for a job: politely (a poll that finds nothing new costs one 304), and through the service's outages."""

import time
from collections.abc import Callable
from typing import cast

from secateur.answers import object_of
from secateur.errors import ServiceUnavailable, ServiceUnreachable, WaitTimeout
from secateur.resources import TERMINAL, Job
from secateur.transport import Again, Transport

# Polling starts quick, for short jobs and a lively first screen, and slows down to what a long job needs.
QUICKEST_S = 0.5
SLOWEST_S = 2.0
SLOWING = 1.25


def wait(
    transport: Transport,
    path: str,
    on_change: Callable[[Job], None] | None,
    timeout_s: float | None,
    outage_s: float,
) -> Job:
    """Poll the job at `path` until it has ended; `Client.wait` describes the arguments."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    answered_at: float | None = None
    etag: str | None = None
    pause = QUICKEST_S
    while True:
        try:
            headers = {"If-None-Match": etag} if etag else {}
            response = transport.send("GET", path, again=Again.ALWAYS, headers=headers)
        except (ServiceUnreachable, ServiceUnavailable):
            # Before the first answer a wrong address is likelier than an outage.
            if answered_at is None or time.monotonic() - answered_at > outage_s:
                raise
        else:
            answered_at = time.monotonic()
            if response.status_code != 304:
                etag = response.headers.get("etag")
                job = cast(Job, object_of(response, "id", "status"))
                if on_change is not None:
                    on_change(job)
                if job["status"] in TERMINAL:
                    return job
                pause = QUICKEST_S
        if deadline is not None and time.monotonic() + pause > deadline:
            raise WaitTimeout(f"The job has not ended after {timeout_s:g} s; it goes on running.")
        time.sleep(pause)
        pause = min(pause * SLOWING, SLOWEST_S)
