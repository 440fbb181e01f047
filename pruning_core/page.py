"""`report.html`: the report for people, one file that needs no network and runs nothing."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pruning_core.drawing import pictures

_UNITS = ("bytes", "KiB", "MiB", "GiB")
#: Control characters and what is none, which HTML may not hold (WHATWG, 13.2.3.5); texts of datasets may.
_NOT_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
#: Artifacts by their names among a report's bytes.
_ARTIFACTS = {
    "dense": "model/, zeros stored",
    "masks": "masks.safetensors",
    "packed": "model.packed",
    "structured": "structured/",
    "onnx": "model.onnx",
    "int8": "model.int8.onnx",
}


def write_page(report: Mapping[str, Any], file: Path) -> None:
    """Draw a report.

    Args:
        report: as `report_schema.Report` describes it; what it quotes is taken for text, never for markup.
        file: written anew.
    """
    environment = Environment(loader=PackageLoader("pruning_core"), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"size": _size, "ms": _milliseconds, "figure": _figure}
    drawn = [(picture.title, picture.caption, Markup(picture.svg)) for picture in pictures(report)]  # noqa: S704 - drawn by us, texts escaped
    page = environment.get_template("report.html.j2").render(
        report=report,
        pictures=drawn,
        artifacts=_ARTIFACTS,
        spec=json.dumps(report["job"] or report["spec"], indent=2, ensure_ascii=False),
    )
    file.write_text(_NOT_IN_HTML.sub("\N{REPLACEMENT CHARACTER}", page), encoding="utf-8")


def _size(count: float) -> str:
    unit = 0
    while count >= 1024 and unit + 1 < len(_UNITS):
        count, unit = count / 1024, unit + 1
    return f"{count:,.0f} {_UNITS[unit]}" if unit == 0 else f"{count:,.1f} {_UNITS[unit]}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.3g} ms"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
