"""`secateur cancel`, `pause`, `resume`, `retry`, `pin`, `unpin`, `delete`, `logs`."""

from typing import Annotated

import typer

from secateur.cli.connection import connect
from secateur.cli.jobs import JobId
from secateur.cli.output import AsJson, print_deleted, print_json, results, say
from secateur.resources import Job


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(cancel)
    app.command()(pause)
    app.command()(resume)
    app.command()(retry)
    app.command()(pin)
    app.command()(unpin)
    app.command()(delete)
    app.command()(logs)


def cancel(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Ask a job to stop. What it has trained so far is lost."""
    with connect(context) as client:
        _show(client.cancel(job_id), as_json=as_json)


def pause(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Let a job go from its worker; it saves a checkpoint first."""
    with connect(context) as client:
        _show(client.pause(job_id), as_json=as_json)


def resume(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Let a paused job go on from its checkpoint."""
    with connect(context) as client:
        _show(client.resume(job_id), as_json=as_json)


def retry(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Try a job that failed or was cancelled again, as a new job, and print its id."""
    with connect(context) as client:
        job = client.retry(job_id)
    if as_json:
        print_json(job)
    else:
        results.print(job["id"], soft_wrap=True)
        say(f"Queued as a job of its own. Follow it with: secateur watch {job['id']}")


def pin(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Keep a job's files, however old it grows."""
    with connect(context) as client:
        _show_pin(client.pin(job_id), as_json=as_json)


def unpin(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Leave a job's files to the service's retention policy again."""
    with connect(context) as client:
        _show_pin(client.unpin(job_id), as_json=as_json)


def delete(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Delete a job that has ended, with all it left behind. There is no way back."""
    with connect(context) as client:
        client.delete(job_id)
    print_deleted(job_id, as_json=as_json)


def logs(
    context: typer.Context,
    job_id: JobId,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which attempt's; the last one's unless told.")] = None,
    tail: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show what a job's trainer printed."""
    with connect(context) as client:
        found = client.logs(job_id, attempt, tail)
    if as_json:
        print_json(found)
    elif found:
        results.print(found[-1]["text"], end="", markup=False, highlight=False, soft_wrap=True)
    else:
        say(f"No trainer of {job_id} has printed anything yet{'' if attempt is None else f' in attempt {attempt}'}.")


def _show(job: Job, *, as_json: bool, state: str | None = None) -> None:
    if as_json:
        print_json(job)
    else:
        results.print(f"{job['id']} is {state or job['status']}.", soft_wrap=True)


def _show_pin(job: Job, *, as_json: bool) -> None:
    _show(job, as_json=as_json, state="pinned" if job["pinned"] else "not pinned")
    if job["files_expired_at"]:
        say(f"Its files were removed at {job['files_expired_at']}; pinning does not bring them back.")
