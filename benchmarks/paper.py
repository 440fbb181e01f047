"""The paper's own runs, for whoever has a GPU: BERT-base on SQuAD, MNLI and QQP, our figures beside the published ones.

    python -m benchmarks.paper --dry-run                          what would be run: no data, no model, no GPU
    python -m benchmarks.paper --only 'squad-SMvP-*'              some runs, from the hub (extra `paper`)
    python -m benchmarks.paper --model DIR --data DIR             from local files
    python -m benchmarks.paper --limit 2000 --only 'mnli-MvP-10'  a trial; nothing of it is kept

`--data DIR` holds `squad/train.json` and `validation.json` (SQuAD 1.1), `mnli/train.csv`, `validation_matched.csv` and
`validation_mismatched.csv`, `qqp/train.csv` and `validation.csv`, with the hub's column names. Finished runs are kept
under `results/paper/` and not done again. Hyper-parameters and figures: `paper_runs.py`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.paper_runs import TASKS, PaperRun, all_runs

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "paper"
CACHE = ROOT / ".cache" / "bench-paper"
HUB_MODEL = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class Source:
    """Where data comes from, and how much of it is used.

    Attributes:
        data: folder with the files, or None for the hub.
        limit: rows of each split at most, evenly spaced; None for all.
    """

    data: Path | None
    limit: int | None

    def table(self, task: str, split: str) -> pa.Table:
        """The rows of a split."""
        rows = self._local(task, split) if self.data else self._hub(task, split)
        if self.limit is not None and len(rows) > self.limit:
            rows = rows.take(np.linspace(0, len(rows) - 1, self.limit).round().astype(np.int64))
        return rows

    def _local(self, task: str, split: str) -> pa.Table:
        from benchmarks.tables import read_csv, read_squad

        assert self.data is not None
        if task == "squad":
            return read_squad(self.data / task / f"{split}.json")
        return read_csv(self.data / task / f"{split}.csv")

    def _hub(self, task: str, split: str) -> pa.Table:
        try:
            import datasets
        except ImportError:
            sys.exit("The hub's data sets need the extra 'paper': pip install -c constraints.txt -e '.[paper]'.")
        repository, configuration = TASKS[task].hub
        loaded = datasets.load_dataset(repository, configuration, split=split)
        table: pa.Table = loaded.with_format("arrow")[:]
        return table


def model_directory(name: str) -> Path:
    """A local directory as it is; else the hub's model of that name, fetched."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "model.safetensors"]))


def carry_out(run: PaperRun, model: Path, source: Source, scope: str, cache: Path) -> dict[str, Any]:
    """Train one run and judge it as the paper does."""
    from benchmarks.dense import fine_tune_dense
    from pruning_core.run import prune

    splits = TASKS[run.task].splits
    train, evaluation = (source.table(run.task, split) for split in splits[:2])
    spec = run.spec(scope)
    if run.method == "dense":
        directory = cache / run.name
        found = fine_tune_dense(model, train, evaluation, spec, directory).evaluation
        return {"figures": figures(run, directory, found, source)}
    teacher = cache / run.dense().name if run.distilled else None
    if teacher is not None and not teacher.is_dir():
        carry_out(run.dense(), model, source, scope, cache)
    with tempfile.TemporaryDirectory() as scratch:
        result = prune(model, train, spec, scratch, evaluation=evaluation, teacher=teacher)
        pair = figures(run, Path(scratch) / "model", result.evaluation, source)
    return {"figures": pair, "density": result.density.prunable, "report": result.report}


def figures(run: PaperRun, directory: Path, found: dict[str, float], source: Source) -> tuple[float, float]:
    """The paper's two figures of a model, in percent."""
    if run.task == "squad":
        return found["exact_match"], found["f1"]
    split = TASKS[run.task].splits[-1]
    second = _judge(run, directory, source.table(run.task, split))
    return 100 * found["accuracy"], 100 * second[1 if run.task == "qqp" else 0]


def _judge(run: PaperRun, directory: Path, table: pa.Table) -> tuple[float, float]:
    """Accuracy on a split, and the F1 of its last class: for QQP of the duplicates, as GLUE has it."""
    from pruning_core.evaluation import answers
    from pruning_core.loading import in_the_models_order, load_model, load_tokenizer
    from pruning_core.precision import best_device
    from pruning_core.tasks.registry import TASKS as KINDS
    from pruning_core.tasks.registry import task_of

    spec = run.spec()
    assert spec.task is not None
    labels = in_the_models_order(directory, KINDS[type(spec.task)].labels_in([table], spec.task))
    task, tokenizer = task_of(spec.task, labels), load_tokenizer(directory)
    model = load_model(directory, tokenizer, task, spec, best_device(), head_required=True)
    split = task.encode(table, tokenizer, spec.training.max_length)
    predicted = np.empty(len(split), dtype=np.int64)
    gold = np.empty(len(split), dtype=np.int64)
    for items, batch, output in answers(model, tokenizer, task, split, np.arange(len(split))):
        predicted[items] = output["logits"].argmax(dim=-1).cpu().numpy()
        gold[items] = batch["labels"].cpu().numpy()
    last = len(labels) - 1
    both = int(((predicted == last) & (gold == last)).sum())
    either = int((predicted == last).sum() + (gold == last).sum())
    return float((predicted == gold).mean()), 2 * both / either if either else 0.0


def show(runs: Sequence[PaperRun], ours: dict[str, Any]) -> None:
    """Our figures beside the paper's."""
    print(f"\n{'run':26}{'metrics':34}{'paper':>14}{'ours':>14}")
    for run in runs:
        own = "{:.1f}/{:.1f}".format(*ours[run.name]["figures"]) if run.name in ours else "–"
        published = "{:.1f}/{:.1f}".format(*run.published)
        print(f"{run.name:26}{' / '.join(TASKS[run.task].metrics):34}{published:>14}{own:>14}")


def dry_run(runs: Sequence[PaperRun], scope: str) -> None:
    """Print each run's steps, schedule and spec."""
    for run in runs:
        spec, items = run.spec(scope), TASKS[run.task].items
        line = f"{spec.total_steps(items)} steps"
        if run.method != "dense":
            plan = spec.schedule(items)
            line += f", warm-up {plan.warmup_steps}, cool-down {plan.cooldown_steps}, scope {spec.scope}"
        print(f"{run.name}: {line}\n  {spec.model_dump_json(exclude_defaults=True)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the chosen runs, or say what they are; the last line printed is one JSON object."""
    parser = argparse.ArgumentParser(description="The paper's own runs, beside its figures.")
    parser.add_argument("--model", default=HUB_MODEL, help="local directory or hub id of BERT-base-uncased")
    parser.add_argument("--data", type=Path, help="folder with squad/, mnli/ and qqp/; without it, the hub")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="runs whose names match, such as 'mnli-*-3'")
    parser.add_argument("--scope", choices=["local", "global"], default="local", help="of MaP and MvP")
    parser.add_argument("--limit", type=int, help="a trial on so many rows; nothing is kept")
    parser.add_argument("--dry-run", action="store_true", help="print specs, steps and the paper's figures only")
    options = parser.parse_args(arguments)
    runs = [run for run in all_runs() if fnmatch(run.name, options.only)]
    if not runs:
        parser.error(f"no run's name matches {options.only!r}; see --dry-run")

    ours: dict[str, Any] = {}
    if options.dry_run:
        dry_run(runs, options.scope)
    else:
        model, source = model_directory(options.model), Source(options.data, options.limit)
        for run in runs:
            file = RESULTS / f"{run.name}.json"
            asked = run.spec(options.scope).model_dump(mode="json")
            if options.limit is None and file.exists() and (kept := json.loads(file.read_text()))["spec"] == asked:
                ours[run.name] = kept
                continue
            print(f"{run.name} …", flush=True)
            if options.limit is None:
                ours[run.name] = carry_out(run, model, source, options.scope, CACHE) | {"spec": asked}
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(ours[run.name], indent=1) + "\n", encoding="utf-8")
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    ours[run.name] = carry_out(run, model, source, options.scope, Path(scratch))
    show(runs, ours)
    rows = [
        {"run": run.name, "paper": run.published, "ours": ours.get(run.name, {}).get("figures"), "scope": options.scope}
        for run in runs
    ]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
