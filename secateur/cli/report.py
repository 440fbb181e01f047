"""Jobs and files as tables for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from secateur.cli.output import age_text, bytes_text, percent_text, results, seconds_text, status_text, table, time_text
from secateur.resources import Artifact, Job, JobError, Result, Validation


def print_jobs(jobs: Sequence[Job]) -> None:
    """One line for each job."""
    listing = table("id", "status", "method", "done", "age", "name", right=("done",))
    for job in jobs:
        listing.add_row(
            job["id"],
            status_text(job["status"]),
            escape(f"{job['spec'].get('method', '')} {job['spec'].get('target_sparsity', '')}"),
            _share_done(job),
            age_text(job["created_at"]),
            escape(job["name"] or ""),
        )
    results.print(listing)


#: `training.start_from` `dense`, in words.
_BASELINE = "the dense baseline, fine-tuned first"
#: `pruning.reconstruct` `true`, in words.
_FITTED = "what is left to the dense model, when the final density is reached"

#: What the service calls `dense` is the pruned model, its zeros written out: what stock transformers loads.
_SIZES = {"dense": "model size"}


def print_job(job: Job) -> None:
    """Everything worth knowing of one job."""
    facts = table("", "")
    facts.show_header = False
    spec = job["spec"]
    facts.add_row("job", job["id"] + (f" ({escape(job['name'])})" if job["name"] else ""))
    facts.add_row("status", status_text(job["status"]) + (f", attempt {job['attempt']}" if job["attempt"] > 1 else ""))
    for field in ("model", "dataset", "method", "target_sparsity"):
        facts.add_row(field.replace("_", " "), escape(str(spec.get(field, "–"))))
    if _prunes_the_baseline(spec):
        facts.add_row("prunes", _BASELINE)
    if _fits(spec):
        facts.add_row("fits", _FITTED)
    for moment in ("created_at", "started_at", "finished_at"):
        facts.add_row(moment.removesuffix("_at"), time_text(job[moment]))
    for name, value in _marks(job):
        if value:
            facts.add_row(name, value)
    if job["result"]:
        for name, value in _outcome(job["result"]):
            facts.add_row(name, value)
    results.print(facts)
    for warning in job["warnings"]:
        results.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    if job["error"]:
        _print_error(job["error"])


def place_remarks(job: Job) -> list[str]:
    """Where a waiting job stands in the line, and when it will be done; nothing of a job that is not in it."""
    position, eta_s = job.get("queue_position"), job["progress"]["eta_s"]
    if job["status"] != "queued" or not position:
        return []
    return [f"number {position} in line", *([f"done in about {seconds_text(eta_s)}"] if eta_s is not None else [])]


def print_validation(found: Validation) -> None:
    """What a spec would become."""
    facts = table("", "")
    facts.show_header = False
    schedule, memory = found["schedule"], found["memory"]
    steps, pruning = found["total_steps"], schedule["total_steps"]
    if task := _task_text(found["spec"]):
        facts.add_row("task", escape(task))
    facts.add_row("steps", f"{steps}, those of the dense baseline among them" if steps != pruning else f"{steps}")
    if _prunes_the_baseline(found["spec"]):
        facts.add_row("prunes", _BASELINE)
    if _fits(found["spec"]):
        facts.add_row("fits", _FITTED)
    warmup, cooldown = schedule["warmup_steps"], schedule["cooldown_steps"]
    when = f"warm-up {warmup}, cool-down {cooldown}, of {pruning}"
    facts.add_row("schedule", f"all at once after {warmup} of {pruning} steps" if _is_one_cut(found["spec"]) else when)
    facts.add_row(
        "memory", f"{bytes_text(memory['training'])} and activations; the model {bytes_text(memory['model'])}"
    )
    results.print(facts)


def print_files(artifacts: Sequence[Artifact], paths: Sequence[Path]) -> None:
    """One line for each downloaded file."""
    listing = table("file", "size", right=("size",))
    for artifact, path in zip(artifacts, paths, strict=True):
        listing.add_row(escape(str(path)), bytes_text(artifact["size"]))
    results.print(listing)


def _task_text(spec: Mapping[str, object]) -> str:
    """The task, and what columns it takes: `text-classification: text = review, label = stars`."""
    task = spec.get("task")
    if not isinstance(task, Mapping):
        return ""
    columns = [f"{role} = {column}" for role, column in task.items() if role != "type" and column is not None]
    return f"{task.get('type')}: {', '.join(columns)}"


def _is_one_cut(spec: Mapping[str, object]) -> bool:
    pruning = spec.get("pruning")
    schedule = pruning.get("schedule") if isinstance(pruning, Mapping) else None
    return isinstance(schedule, Mapping) and schedule.get("shape") == "one_shot"


def _fits(spec: Mapping[str, object]) -> bool:
    pruning = spec.get("pruning")
    return isinstance(pruning, Mapping) and pruning.get("reconstruct") is True


def _prunes_the_baseline(spec: Mapping[str, object]) -> bool:
    training = spec.get("training")
    return isinstance(training, Mapping) and training.get("start_from") == "dense"


def _marks(job: Job) -> list[tuple[str, str]]:
    """What not every job has; what this one has not is empty."""
    expired_at = job["files_expired_at"]
    return [
        ("tags", escape(", ".join(f"{key}:{value}" for key, value in job["tags"].items()))),
        ("tries again", job["retry_of"] or ""),
        ("priority", str(job["priority"] or "")),
        ("pinned", "yes" if job["pinned"] else ""),
        ("files", f"removed {time_text(expired_at)}" if expired_at else ""),
        ("place", ", ".join(place_remarks(job))),
        ("progress", _progress_text(job)),
    ]


def _progress_text(job: Job) -> str:
    progress = job["progress"]
    if not progress["total_steps"]:
        return ""
    steps = f"step {progress['step']} of {progress['total_steps']}"
    if job["status"] != "running":
        return steps
    return ", ".join(
        [
            *([progress["phase"]] if progress["phase"] else []),
            steps,
            *([f"{seconds_text(progress['eta_s'])} left"] if progress["eta_s"] is not None else []),
            *([f"density {percent_text(progress['density'])}"] if progress["density"] is not None else []),
        ]
    )


def _print_error(error: JobError) -> None:
    results.print(f"[red]{escape(error['code'])}[/]: {escape(error['detail'])}", soft_wrap=True)
    if log_tail := error["log_tail"]:
        results.print(escape(log_tail.rstrip()), style="dim", soft_wrap=True)


def _outcome(result: Result) -> list[tuple[str, str]]:
    dense = result.get("dense_eval") or {}
    rows = []
    for name, value in result.get("eval", {}).items():
        beside = f" (dense {dense[name]:.4f})" if name in dense else ""
        rows.append((name, f"{value:.4f}{beside}"))
    if density := result.get("density"):
        shares = (("prunable", density["prunable"]), ("encoder", density["encoder"]), ("model", density["model"]))
        rows.append(("density", ", ".join(f"{percent_text(share)} {of}" for of, share in shares)))
    rows += _exports(result)
    sizes = result.get("bytes", {}).items()
    rows += [(_SIZES.get(name, f"{name} size"), bytes_text(size)) for name, size in sizes if size is not None]
    return rows + [("note", escape(note)) for note in result.get("notes", ())]


def _exports(result: Result) -> list[tuple[str, str]]:
    """What was made besides, and how fast it is."""
    rows = []
    metric = result.get("primary_metric", "")
    for name, made in result.get("exports", {}).items():
        parts = [f"{metric} {made['eval'][metric]:.4f}"] if metric in made.get("eval", {}) else []
        if "heads" in made:
            parts.append(f"{made['heads']} of {made['heads_dense']} heads")
            parts.append(f"{made['neurons']} of {made['neurons_dense']} neurons")
        rows.append((name, ", ".join(parts)))
    if latency := result.get("export_latency"):
        for each in latency["timings"]:
            times = "" if each["model"] == "dense" else f", {each['speedup']:.2f} × as fast as dense"
            name = f"{each['runtime']}, {each['model']}"
            rows.append((name, f"{each['median_ms']:.1f} ms for {each['batch']} × {latency['sequence']} tokens{times}"))
    return rows


def _share_done(job: Job) -> str:
    progress = job["progress"]
    return f"{progress['step'] / progress['total_steps']:.0%}" if progress["total_steps"] else ""
