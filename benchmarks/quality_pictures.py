"""The pictures of the quality bench, after the paper's figures 2, 4 and 6."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.quality_runs import COMPARED, DENSITIES
from benchmarks.quality_table import METHODS, Figure
from benchmarks.quality_training import Record

#: Okabe & Ito's colours (2008), told apart by all kinds of colour vision; markers and labels say the same again.
COLOURS = {
    "movement": "#0072B2",
    "magnitude": "#D55E00",
    "soft_movement": "#009E73",
    "l0": "#CC79A7",
    "frozen": "#E69F00",
    "taylor": "#56B4E9",
}
MARKERS = dict(zip(METHODS, "osD^vP", strict=True))
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "legend.frameon": False,
}
#: A module's last names → what the paper calls the matrix; the first that fits.
KINDS = {
    "attention.self.query": "Q",
    "attention.self.key": "K",
    "attention.self.value": "V",
    "attention.output.dense": "O",
    "intermediate.dense": "FF in",
    "output.dense": "FF out",
}


def draw(summary: dict[str, Any], records: list[Record], folder: Path) -> list[Path]:
    """Draw whatever the records have the material for; returns the files."""
    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    undistilled = {
        (record["method"], record["density"]): record
        for record in records
        if record["seed"] == 1 and record["data"] == "reviews" and not (record["distillation"] or record["tuning"])
    }
    with plt.rc_context(STYLE):
        drawn = [
            _quality(summary, folder / "quality.png") if summary["rows"] and summary["dense"] else None,
            _layers(undistilled, folder / "layers.png"),
            _scores(undistilled, folder / "scores.png"),
        ]
    return [file for file in drawn if file is not None]


def _save(figure: Any, file: Path) -> Path:
    figure.savefig(file, metadata={"Software": None})  # a new matplotlib alone should change no committed file
    plt.close(figure)
    return file


def _quality(summary: dict[str, Any], file: Path) -> Path:
    """Quality against remaining weights, as the paper's figure 2."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
    for axis, distilled in zip(axes, (False, True), strict=True):
        dense = summary["dense"]
        axis.axhline(100 * dense["mean"], color="black", linestyle="--", linewidth=1)
        left = (0.02, 100 * dense["mean"])
        axis.annotate("dense", left, (0, 3), xycoords=axis.get_yaxis_transform(), textcoords="offset points")
        for number, method in enumerate(METHODS):
            rows: list[Figure] = [
                row for row in summary["rows"] if (row["method"], row["distillation"]) == (method, distilled)
            ]
            if not rows:
                continue
            rows.sort(key=lambda row: float(row["density"]))
            # A hair apart, so that error bars at the same density do not hide each other.
            x = [100 * row["density"] * 1.03 ** (number - len(METHODS) / 2) for row in rows]
            y = [100 * row["mean"] for row in rows]
            sd = [100 * (row["sd"] or 0.0) for row in rows]
            label = method.replace("_", " ")
            axis.errorbar(
                x, y, sd, label=label, color=COLOURS[method], marker=MARKERS[method], capsize=3, linewidth=1.5
            )
        axis.set_xscale("log")
        axis.set_xticks([100 * density for density in DENSITIES], [f"{density:.0%}" for density in DENSITIES])
        axis.minorticks_off()
        axis.set_xlabel("remaining weights, of the prunable (log scale)")
        axis.set_title("with distillation" if distilled else "without distillation")
        axis.legend(loc="lower right")
    axes[0].set_ylabel("accuracy, %")
    figure.suptitle("Quality against remaining weights (error bars: one standard deviation over seeds)")
    return _save(figure, file)


def _layers(records: dict[tuple[str, float], Record], file: Path) -> Path | None:
    """Remaining weights by layer and by kind of matrix, as the paper's figure 4."""
    densities = [d for d in DENSITIES if all((method, d) in records for method in COMPARED)]
    if not densities:
        return None
    figure, axes = plt.subplots(
        2, len(densities), figsize=(3.6 * len(densities), 6.2), squeeze=False, layout="constrained"
    )
    for column, density in enumerate(densities):
        for method in COMPARED:
            by_layer, by_kind = _shares(records[method, density])
            look = {"color": COLOURS[method], "marker": MARKERS[method], "label": method}
            axes[0][column].plot([layer + 1 for layer in by_layer], [100 * s for s in by_layer.values()], **look)
            axes[1][column].plot(list(by_kind), [100 * s for s in by_kind.values()], linestyle="none", **look)
        for axis in (axes[0][column], axes[1][column]):
            axis.axhline(100 * density, color="black", linestyle="--", linewidth=1)
            axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
        axes[0][column].set_title(f"{density:.0%} of all remain")
        axes[0][column].set_xlabel("layer")
        axes[0][column].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[1][column].set_xlabel("kind of matrix")
    for row in axes:
        row[0].set_ylabel("remaining weights, %")
    figure.suptitle("Where weights remain (dashed: all matrices alike)")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return _save(figure, file)


def _shares(record: Record) -> tuple[dict[int, float], dict[str, float]]:
    """Kept share of each layer, and of each kind of matrix."""
    layers: dict[int, list[int]] = {}
    kinds: dict[str, list[int]] = {}
    for row in record["layers"]:
        number = next((int(part) for part in row["name"].split(".") if part.isdigit()), 0)
        kind = next((short for end, short in KINDS.items() if row["name"].endswith(end)), row["name"])
        for counts in (layers.setdefault(number, [0, 0]), kinds.setdefault(kind, [0, 0])):
            counts[0] += row["kept"]
            counts[1] += row["total"]
    return (
        {number: kept / total for number, (kept, total) in sorted(layers.items())},
        {kind: kept / total for kind, (kept, total) in kinds.items()},
    )


def _scores(records: dict[tuple[str, float], Record], file: Path) -> Path | None:
    """What remains, by weight, and movement's scores against the weights, as the paper's figure 6."""
    densities = [d for d in DENSITIES if all((records.get((method, d)) or {}).get("histogram") for method in COMPARED)]
    if not densities:
        return None
    figure, axes = plt.subplots(
        2, len(densities), figsize=(3.9 * len(densities), 6.6), squeeze=False, layout="constrained"
    )
    for column, density in enumerate(densities):
        above, below = axes[0][column], axes[1][column]
        for method in COMPARED:
            histogram = records[method, density]["histogram"]
            kept = np.array(histogram["kept"]).sum(axis=1)
            edges = _edges(histogram["weight"], len(kept))
            share = kept / kept.sum() / np.diff(edges)
            style = "-" if method == "movement" else "--"
            above.stairs(share, edges, color=COLOURS[method], label=method, linestyle=style, linewidth=1.5)
        above.set_title(f"{density:.0%} remain")
        above.set_xlabel("remaining weight")
        histogram = records["movement", density]["histogram"]
        kept, removed = np.array(histogram["kept"]), np.array(histogram["removed"])
        ranks = histogram.get("rank") or histogram["score"]  # older records have S, where |W| + S ranked
        x, y = _edges(histogram["weight"], len(kept)), _edges(ranks, len(kept))
        norm = LogNorm(1, 10 ** math.ceil(math.log10(max(10, (kept + removed).max()))))
        image = below.pcolormesh(x, y, np.ma.masked_equal((kept + removed).T, 0), cmap="cividis", norm=norm)
        cut = _cut(kept, removed, y)
        below.axhline(cut, color="white", linewidth=3)
        below.axhline(cut, color="black", linestyle="--", linewidth=1.2)
        box = {"boxstyle": "square,pad=0.15", "color": "white"}
        below.annotate("kept above", (x[0], cut), (4, 6), textcoords="offset points", fontsize=9, bbox=box)
        below.grid(visible=False)
        below.set_xlabel("weight")
        figure.colorbar(image, ax=below, label="weights")
    axes[0][0].set_ylabel("density of remaining weights")
    axes[1][0].set_ylabel("movement score")
    figure.suptitle("Which weights remain: by value, and movement's scores against the weights")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return _save(figure, file)


def _edges(ends: list[float], bins: int) -> NDArray[np.float64]:
    return np.linspace(ends[0], ends[1], bins + 1)


def _cut(kept: NDArray[np.int64], removed: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """The score that parts kept from removed weights, to the width of a bin: the fewest are on the wrong side."""
    below_kept = np.concatenate([[0], np.cumsum(kept.sum(axis=0))])
    above_removed = np.concatenate([np.cumsum(removed.sum(axis=0)[::-1])[::-1], [0]])
    return float(edges[int(np.argmin(below_kept + above_removed))])
