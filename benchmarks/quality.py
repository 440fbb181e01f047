"""Quality against sparsity: MiniLM-L6 on movie reviews, every method, dense and distilled, several seeds.

`make bench-quality` carries out what `quality_runs.py` lists, one file per finished run under `results/quality/`, and
goes on where it stopped. A run is done again when its settings, or the library's defaults, have changed since; delete
its file to do it again for another reason. It ends with `results/quality.json`, a table in `results/quality.md`,
pictures, and one JSON object as the last line printed.

    python -m benchmarks.quality --list                      what there is to do
    python -m benchmarks.quality --only 'movement-3-*'       some runs
    python -m benchmarks.quality --table                     no training: table and pictures of what is there
    python -m benchmarks.quality --tune magnitude            the trials that its settings were chosen from
    python -m benchmarks.quality --data DIR                  also sentence pairs (DIR/snli) and questions (DIR/qamr)
"""

import argparse
import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.quality_pictures import draw
from benchmarks.quality_runs import TUNED, Run, all_runs, tuning_runs
from benchmarks.quality_table import as_markdown, points, summarise
from benchmarks.quality_training import Place, Record, carry_out, read_record
from examples.sample_data import movie_reviews, sample_model
from pruning_core.training import Diverged

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CACHE = ROOT / ".cache" / "bench-quality"
#: A run may take no longer than this alone on two cores.
LONGEST_SECONDS = 300.0


def work(runs: Sequence[Run], place: Place) -> None:
    """Carry out what has no record yet."""
    for number, run in enumerate(runs, start=1):
        title = f"[{number}/{len(runs)}] {run.name}"
        if record := read_record(run, place):
            print(f"{title}: {_quality(record)}, kept", flush=True)
        elif not place.has_data(run):
            print(f"{title}: left out, needs --data", flush=True)
        else:
            if place.file(run).exists():
                print(f"{title}: settings have changed since its record", flush=True)
            try:
                record = carry_out(run, place)
            except Diverged as error:  # a trial of a rate too high is no reason to leave out all that follow
                print(f"{title}: {error}", flush=True)
                continue
            print(f"{title}: {_quality(record)}, {record['wall_seconds']:.0f} s", flush=True)


def collect(place: Place) -> dict[str, Any]:
    """Write figures, page and pictures of all valid records; returns the content of `quality.json`."""
    records = [record for run in all_runs(seeds=99) if (record := read_record(run, place))]
    tuning = [record for method in TUNED for run in tuning_runs(method) if (record := read_record(run, place))]
    summary = summarise(records)
    # However it was called this time: what gives these results to who has none of them.
    summary["command"] = "make bench-quality" + (" DATA=DIR" if summary["others"] else "")
    summary["lineage"] = records[0].get("lineage") if records else None
    pictures = draw(summary, records, place.results / "quality")
    slow = [record for record in records if record["wall_seconds"] > LONGEST_SECONDS]
    page = as_markdown(summary, tuning, slow)
    page += "".join(f"\n![{file.stem}](quality/{file.name})\n" for file in pictures)
    place.results.mkdir(parents=True, exist_ok=True)
    (place.results / "quality.md").write_text(page, encoding="utf-8")
    (place.results / "quality.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table and the verdicts."""
    print(f"\n{'dense':16}{'':>9}  {points(summary['dense'])}")
    for row in summary["rows"]:
        name = row["method"] + (" + distill" if row["distillation"] else "")
        print(f"{name:24}{row['density']:>5.0%}  {points(row)}")
    for name, verdict in summary["required"].items():
        print(f"{'not measured' if verdict is None else 'yes' if verdict else 'NO':13}{name}")


def _quality(record: Record) -> str:
    return f"{record['metric']} {record['eval'][record['metric']]:.4g}"


def _list(runs: Sequence[Run], place: Place) -> None:
    for run in runs:
        record = read_record(run, place)
        state = "stale" if place.file(run).exists() else "to do"
        print(f"{run.name:48}{'done, ' + _quality(record) if record else state}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out runs, then write and print what they came to."""
    parser = argparse.ArgumentParser(description="Quality against sparsity, run by run.")
    parser.add_argument("--only", metavar="PATTERN", help="runs whose names match, such as 'movement-3-*'")
    parser.add_argument("--seeds", type=int, default=3, help="of the dense and the compared runs, distilled too")
    parser.add_argument("--tune", choices=TUNED, help="carry out this method's trials instead")
    parser.add_argument("--data", type=Path, help="folder that holds snli/ and qamr/")
    parser.add_argument("--list", action="store_true", help="list the runs and which are done")
    parser.add_argument("--table", action="store_true", help="train nothing; table and pictures of what is there")
    options = parser.parse_args(arguments)

    runs = tuning_runs(options.tune) if options.tune else all_runs(options.seeds)
    if options.only:
        runs = [run for run in runs if fnmatch(run.name, options.only)]
        if not runs:
            parser.error(f"no run's name matches {options.only!r}; see --list")
    trains = not (options.list or options.table)
    # Which records hold depends on the model's width; the reviews are needed for training only.
    place = Place(sample_model(), movie_reviews() if trains else Path(), options.data, RESULTS, CACHE)
    if options.list:
        _list(runs, place)
        return
    if trains:
        work(runs, place)
    summary = collect(place)
    show(summary)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
