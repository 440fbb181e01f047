"""From the records of the quality bench to its figures: means, standard deviations, and what was required."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from benchmarks.quality_runs import COMPARED, DENSITIES, OTHERS
from benchmarks.quality_training import Record

Figure = dict[str, Any]
"""`mean`, `sd` (None for one seed), `n`."""

#: Order of the table's rows.
METHODS = (*COMPARED, *OTHERS)

#: What must hold: movement over magnitude in points of accuracy, and the best method's share of dense.
OVER_MAGNITUDE = {0.03: 3.0, 0.1: 1.5}
SHARE_OF_DENSE = {(0.1, False): 0.95, (0.03, False): 0.93, (0.1, True): 0.97, (0.03, True): 0.95}


def figure(values: list[float]) -> Figure:
    """Mean and sample standard deviation over seeds."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd, "n": len(values)}


def summarise(records: Iterable[Record]) -> dict[str, Any]:
    """The content of `quality.json`, but for what says where it comes from."""
    seeds: dict[tuple[str, float, bool], list[float]] = defaultdict(list)
    others = []
    for record in records:
        if record["tuning"]:
            continue
        quality = record["eval"][record["metric"]]
        if record["data"] == "reviews":
            seeds[record["method"], record["density"], record["distillation"]].append(quality)
        else:
            keys = ("data", "method", "density", "distillation", "metric")
            dense = (record["dense_eval"] or {}).get(record["metric"])
            others.append({key: record[key] for key in keys} | {"quality": quality, "dense": dense})
    dense = seeds.pop(("dense", 1.0, False), None)
    rows = [
        {"method": method, "density": density, "distillation": distilled, **figure(seeds[method, density, distilled])}
        for distilled in (False, True)
        for density in DENSITIES
        for method in METHODS
        if (method, density, distilled) in seeds
    ]
    summary = {"dense": figure(dense) if dense else None, "rows": rows, "others": others}
    return summary | {"required": required(summary)}


def required(summary: dict[str, Any]) -> dict[str, bool | None]:
    """What was asked of the methods, by name; None for what has not been measured yet."""
    verdicts: dict[str, bool | None] = {}
    for density, points in OVER_MAGNITUDE.items():
        movement, magnitude = (_row(summary, method, density) for method in COMPARED)
        name = f"movement over magnitude at {density:.0%} by {points} points"
        # Rounded to what differences of shares are good for: 0.83 - 0.80 is a hair less than 0.03.
        verdicts[name] = (
            round(movement["mean"] - magnitude["mean"], 9) >= points / 100 if movement and magnitude else None
        )
    for (density, distilled), share in SHARE_OF_DENSE.items():
        top = best(summary, density, distilled=distilled)
        kind = "best distilled" if distilled else "best"
        verdicts[f"{kind} at {density:.0%} at least {share} x dense"] = (
            top["mean"] >= share * summary["dense"]["mean"] if top and summary["dense"] else None
        )
    return verdicts


def best(summary: dict[str, Any], density: float, *, distilled: bool) -> Figure | None:
    """The row of the highest mean among those of most seeds: one lucky seed proves nothing against three."""
    rows = [row for row in summary["rows"] if (row["density"], row["distillation"]) == (density, distilled)]
    most = max((row["n"] for row in rows), default=0)
    return max((row for row in rows if row["n"] == most), key=lambda row: float(row["mean"]), default=None)


def _row(summary: dict[str, Any], method: str, density: float) -> Figure | None:
    for row in summary["rows"]:
        if (row["method"], row["density"], row["distillation"]) == (method, density, False):
            return dict(row)
    return None


def points(found: Figure | None) -> str:
    """A figure in percent, such as `82.5 ± 0.3 (3)`."""
    if found is None:
        return "–"
    sd = "" if found["sd"] is None else f" ± {100 * found['sd']:.1f}"
    return f"{100 * found['mean']:.1f}{sd} ({found['n']})"


def _origin(summary: dict[str, Any]) -> list[str]:
    """Hardware and versions, from the first record."""
    lineage = summary.get("lineage")
    if not lineage:
        return []
    found = [*lineage["hardware"].items(), *lineage["packages"].items()]
    return ["On " + ", ".join(f"{name} {value}" for name, value in found) + ".", ""]


def as_markdown(summary: dict[str, Any], tuning: list[Record], slow: list[Record]) -> str:
    """The page of the results: table, verdicts, tuning, pictures."""
    cells = {(row["method"], row["density"], row["distillation"]): row for row in summary["rows"]}
    lines = [
        "# Quality against sparsity",
        "",
        "Written by `make bench-quality`; do not edit. MiniLM-L6 on the movie-review snippets, 6,000 rows to train on",
        "and 1,500 held out, 5 epochs (8 with distillation, from the dense model of the same seed). Accuracy in",
        "percent, mean ± standard deviation (number of seeds); densities are of the prunable weights.",
        "",
        "```sh",
        summary["command"],
        "```",
        "",
        *_origin(summary),
        f"Dense: {points(summary['dense'])}",
        "",
        "| method | " + " | ".join(f"{density:.0%}" for density in DENSITIES) + " |",
        "|---|" + "---|" * len(DENSITIES),
    ]
    for distilled in (False, True):
        for method in METHODS:
            row = [points(cells.get((method, density, distilled))) for density in DENSITIES]
            if any(cell != "–" for cell in row):
                lines.append(f"| {method}{' + distillation' if distilled else ''} | " + " | ".join(row) + " |")
    lines += ["", "| required | holds |", "|---|---|"]
    words = {True: "yes", False: "no", None: "not measured yet"}
    lines += [f"| {name} | {words[verdict]} |" for name, verdict in summary["required"].items()]
    if summary["others"]:
        lines += ["", "| other data | method | density | metric | dense | pruned |", "|---|---|---|---|---|---|"]
        for other in summary["others"]:
            dense = "–" if other["dense"] is None else f"{other['dense']:.3g}"
            lines.append(
                f"| {other['data']} | {other['method']} | {other['density']:.0%} | {other['metric']} | {dense} "
                f"| {other['quality']:.3g} |"
            )
    if tuning:
        lines += ["", "Tuned with seed 1:", "", "| run | accuracy |", "|---|---|"]
        lines += [f"| {record['name']} | {100 * record['eval'][record['metric']]:.1f} |" for record in tuning]
    if slow:
        names = ", ".join(
            f"{record['name']} ({record['wall_seconds']:.0f} s on {record['threads']})" for record in slow
        )
        lines += ["", f"Runs of more than five minutes, and their threads: {names}."]
    return "\n".join(lines) + "\n"
