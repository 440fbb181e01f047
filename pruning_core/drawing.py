"""The report's pictures as inline SVG: in the colour of the text around them, so that dark pages and paper both do."""

import io
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

#: Stands in the SVG where the page's own colour belongs.
_INK = "#010203"
#: Okabe & Ito's colours (2008), told apart by all kinds of colour vision, on white and on black.
_BLUE, _ORANGE = "#3a8fd0", "#d55e00"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "secateur",
    "text.parse_math": False,  # names are no formulas
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}
#: A power of ten written out: as a formula it would need mathematics.
_WHOLE = StrMethodFormatter("{x:,.0f}")
#: More bars than this are drawn for layers instead of matrices.
_MOST_BARS = 80

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        title: what it shows.
        caption: how to read it.
        svg: the picture, an `svg` element.
    """

    title: str
    caption: str
    svg: str


def pictures(report: Report) -> list[Picture]:
    """Every picture that the report has the numbers for.

    Args:
        report: as `report_schema.Report` describes it.
    """
    drawn = []
    with mpl.rc_context(_STYLE):
        for number, draw in enumerate((_losses, _quality, _schedule, _layers, _remaining, _ranks)):
            if (made := draw(report)) is not None:
                figure, title, caption = made
                drawn.append(Picture(title, caption, _svg(figure, f"p{number}-", f"{title}. {caption}")))
    return drawn


_Made = tuple[Figure, str, str] | None


def _svg(figure: Figure, prefix: str, words: str) -> str:
    """The figure as an element to be put into a page: ids of its own, described in words."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'((?:xlink:)?href)="#', rf'\1="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(words)}" ', 1)


def _attribute(words: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        words = words.replace(character, entity)
    return words


def _axes(width: float = 7.2, height: float = 3.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _lines(report: Report, names: Mapping[str, tuple[str, str]], ylabel: str) -> Figure | None:
    """Curves of the training; the dense one's dashed."""
    there = {name: look for name, look in names.items() if report["curves"].get(name)}
    if all(len(report["curves"][name]) < 2 for name in there):
        return None
    figure, axes = _axes()
    for name, (label, colour) in there.items():
        steps, values = zip(*report["curves"][name], strict=True)
        style = "--" if name.startswith("dense/") else "-"
        axes.plot(steps, values, style, color=colour, label=label, marker="." if len(steps) < 30 else None)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(ylabel)
    axes.legend()
    return figure


def _losses(report: Report) -> _Made:
    names = {
        "train/loss": ("pruned, training", _BLUE),
        "eval/loss": ("pruned, evaluation", _ORANGE),
        "dense/train/loss": ("dense, training", _BLUE),
        "dense/eval/loss": ("dense, evaluation", _ORANGE),
    }
    figure = _lines(report, names, "loss")
    caption = "The loss on training and evaluation rows; dashed for the dense model. Lower is better."
    return None if figure is None else (figure, "Training", caption)


def _quality(report: Report) -> _Made:
    metric = report["primary_metric"]
    names = {f"eval/{metric}": ("pruned", _BLUE), f"dense/eval/{metric}": ("dense", _ORANGE)}
    figure = _lines(report, names, metric)
    caption = f"{metric} on at most 2,000 evaluation rows while training, with the mask of the moment."
    return None if figure is None else (figure, "Quality on the way", caption)


def _schedule(report: Report) -> _Made:
    steps, asked = zip(*report["schedule"], strict=True)
    figure, axes = _axes(height=2.6)
    axes.plot(steps, [100 * share for share in asked], color=_BLUE, label="schedule")
    if measured := report["curves"].get("density"):
        steps, shares = zip(*measured, strict=True)
        axes.plot(steps, [100 * share for share in shares], ".", color=_ORANGE, label="measured", markersize=3)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("kept weights, %")
    axes.set_ylim(0, None)
    axes.legend()
    caption = f"From {asked[0]:.1%} of the prunable weights down to {asked[-1]:.1%}."
    if asked[0] == asked[-1]:
        caption = f"{asked[0]:.1%} of the prunable weights from the first step on."
    return figure, "Density schedule", caption


def _layers(report: Report) -> _Made:
    rows = report["layers"]
    labels = [row["name"] for row in rows]
    shares = [row["density"] for row in rows]
    if len(rows) > _MOST_BARS:
        grouped = itertools.groupby(rows, key=lambda row: next((p for p in row["name"].split(".") if p.isdigit()), "–"))
        sums = [(name, list(part)) for name, part in grouped]
        labels = [f"layer {name}" for name, _ in sums]
        shares = [sum(row["kept"] for row in part) / sum(row["total"] for row in part) for _, part in sums]
    labels, shares = labels[:_MOST_BARS], shares[:_MOST_BARS]
    figure, axes = _axes(height=0.9 + 0.19 * len(labels))
    axes.barh(range(len(labels)), [100 * share for share in shares], color=_BLUE)
    axes.set_yticks(range(len(labels)), [label[-60:] for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(100 * report["density"]["prunable"], color=_INK, linestyle="--", linewidth=1)
    axes.set_xlabel("kept weights, %")
    axes.grid(visible=False, axis="y")
    low, high = (f"{bound:.1%}" for bound in (min(shares), max(shares)))
    caption = f"Kept share of each matrix, {low} to {high}; dashed: of all together. The numbers are in report.json."
    return figure, "Where weights remain", caption


def _counts(histogram: Report) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    kept, removed = (np.array(histogram[part], dtype=np.int64) for part in ("kept", "removed"))
    (left, right), (bottom, top) = histogram["weight"], histogram["rank"]
    return kept, removed, np.linspace(left, right, len(kept) + 1), np.linspace(bottom, top, kept.shape[1] + 1)


def _remaining(report: Report) -> _Made:
    if not report["histogram"]:
        return None
    kept, removed, edges, _ = _counts(report["histogram"])
    figure, axes = _axes(height=2.8)
    axes.stairs(kept.sum(axis=1), edges, color=_BLUE, label="kept", linewidth=1.6)
    axes.stairs(removed.sum(axis=1), edges, color=_ORANGE, label="removed", linestyle="--", linewidth=1.2)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(_WHOLE)
    axes.set_xlabel("weight")
    axes.set_ylabel("weights (log scale)")
    axes.legend()
    caption = (
        "How many weights have which value: magnitude keeps the far ends alone, movement also weights near zero. "
        "Removed ones as training left them, before they became zeros."
    )
    return figure, "Distribution of the weights", caption


def _ranks(report: Report) -> _Made:
    if not report["histogram"]:
        return None
    kept, removed, x, y = _counts(report["histogram"])
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    norm = LogNorm(1, 10 ** math.ceil(math.log10(max(10, int(kept.max()), int(removed.max())))))
    for axes, counts, title in zip(panels, (kept, removed), ("kept", "removed"), strict=True):
        image = axes.imshow(
            np.ma.masked_equal(counts.T, 0),
            norm=norm,
            cmap="viridis",
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(x[0], x[-1], y[0], y[-1]),
        )
        axes.set_title(title)
        axes.set_xlabel("weight")
        axes.grid(visible=False)
    panels[0].set_ylabel(f"importance ({report['method']})")
    figure.colorbar(image, ax=list(panels), label="weights", format=_WHOLE)
    return (
        figure,
        "Importance against weight",
        (
            "What ranked the weights when masks were last selected, against their value (the paper's figure 4): each "
            "cell counts weights, those that stay on the left, those that have gone on the right."
        ),
    )
