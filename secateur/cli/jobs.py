"""`secateur submit`, `validate`, `watch`, `jobs`, `status`, `download`."""

import itertools
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.markup import escape

from secateur.cli import report
from secateur.cli.connection import connect
from secateur.cli.output import AsJson, print_json, results, say
from secateur.cli.spec_file import read_spec
from secateur.cli.transfer import transferring
from secateur.cli.watching import EXIT_CODES, watch
from secateur.client import Client
from secateur.resources import JobStatus, Sort

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, job_….", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(submit)
    app.command()(validate)
    app.command("watch")(watch_job)
    app.command("jobs")(list_jobs)
    app.command()(status)
    app.command()(download)


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The spec as JSON; - reads it from stdin.")],
    stay: Annotated[bool, typer.Option("--watch", help="Show the job's progress until it has ended.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and spec give the same job for 24 hours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id.

    With --watch the exit code is the job's: 0 succeeded, 1 failed, 3 cancelled, 130 after Ctrl-C, which ends the
    watching and not the job.
    """
    with connect(context) as client:
        job = client.submit(read_spec(file), idempotency_key)
        for warning in job["warnings"]:
            say(f"[yellow]{escape(warning)}[/]")
        if stay:
            say(f"Submitted {job['id']}.")
            _watch(client, job["id"], as_json)
        elif as_json:
            print_json(job)
        else:
            results.print(job["id"], soft_wrap=True)
            say(f"Submitted. Follow it with: secateur watch {job['id']}")


def validate(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The spec as JSON; - reads it from stdin.")],
    as_json: AsJson = False,
) -> None:
    """Check a spec as submit does, and make no job: its steps, its schedule and the memory it needs."""
    with connect(context) as client:
        found = client.validate(read_spec(file))
    if as_json:
        print_json(found)
        return
    for warning in found["warnings"]:
        say(f"[yellow]{escape(warning)}[/]")
    report.print_validation(found)


def watch_job(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show a job's progress until it has ended.

    The exit code is the job's: 0 succeeded, 1 failed, 3 cancelled, 130 after Ctrl-C, which ends the watching and not
    the job.
    """
    with connect(context) as client:
        _watch(client, job_id, as_json)


def _watch(client: Client, job_id: str, as_json: bool) -> None:
    job = watch(client, job_id)
    if as_json:
        print_json(job)
    else:
        report.print_job(job)
        if job["status"] == "succeeded":
            say(f"Get the pruned model with: secateur download {job_id} DIRECTORY")
    raise typer.Exit(EXIT_CODES[job["status"]])


def _status_word(word: str) -> str:
    # Typer takes no list of literals.
    if word not in get_args(JobStatus):
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(get_args(JobStatus))}.")
    return word


def list_jobs(
    context: typer.Context,
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only jobs in this status, or in any of several: {', '.join(get_args(JobStatus))}.",
            metavar="STATUS",
            parser=_status_word,
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only jobs of this method.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this tag, or all of several.", metavar="KEY:VALUE")
    ] = None,
    q: Annotated[
        str | None, typer.Option("--search", "-q", help="Only jobs with this in their names or ids, or their inputs'.")
    ] = None,
    pinned: Annotated[bool, typer.Option("--pinned", help="Only jobs that are pinned.")] = False,
    sort: Annotated[
        Sort, typer.Option(help=f"In what order, - is falling: {', '.join(get_args(Sort))}.", metavar="SORT")
    ] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the team's jobs."""
    with connect(context) as client:
        found = client.jobs(
            status=cast(list[JobStatus] | None, status),
            method=method,
            tag=tag,
            q=q,
            pinned=pinned or None,
            sort=sort,
            page_size=min(limit, 100),
        )
        jobs = list(itertools.islice(found, limit))
    if as_json:
        print_json(jobs)
    elif jobs:
        report.print_jobs(jobs)
    else:
        say("There is no such job.")


def status(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job."""
    with connect(context) as client:
        job = client.job(job_id)
    if as_json:
        print_json(job)
    else:
        report.print_job(job)


def download(
    context: typer.Context,
    job_id: JobId,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; made if need be.", file_okay=False, show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Download everything a job left behind, each file verified by its sha256.

    Files already there with the right content are left alone, so a download that broke can be repeated.
    """
    with connect(context) as client:
        artifacts = client.artifacts(job_id)
        with transferring("Downloading", sum(entry["size"] for entry in artifacts)) as count:
            paths = client.download(job_id, directory, count)
        expired_at = None if artifacts else client.job(job_id)["files_expired_at"]
    if as_json:
        print_json([{**entry, "path": str(path)} for entry, path in zip(artifacts, paths, strict=True)])
    elif artifacts:
        report.print_files(artifacts, paths)
    elif expired_at:
        say(f"The files of {job_id} were removed at {expired_at} by the service's retention policy.")
    else:
        say(f"{job_id} has no artifacts; only a job that succeeded has. See: secateur status {job_id}")
    if not artifacts:
        raise typer.Exit(1)  # `download && deploy` must not go on with nothing
