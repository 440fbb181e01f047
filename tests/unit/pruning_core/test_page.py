"""`report.html`: whole, escaped, self-contained, small; and a job that does not fail for want of it."""

import copy
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from pruning_core import prune
from pruning_core.page import write_page
from pruning_core.report_schema import Report, json_schema
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import short_spec

EVIL = "<script>alert('1')</script>"
NAMES: dict[str, object] = {"model": EVIL, "model_name": f"MiniLM {EVIL}", "dataset_name": "reviews & more"}
#: What may stand without an end tag.
VOID = {"meta", "br", "link", "img"}


class Elements(HTMLParser):
    """Every element of a page with its attributes; ends that match no beginning are told."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def hostile(rows: int, seed: int = 0) -> pa.Table:
    """Reviews of which every text and one label is an attempt to get into the page."""
    table = reviews(rows, seed)
    labels = pa.array([EVIL if label == "positive" else "negative" for label in table["label"].to_pylist()])
    texts = pa.array([f"{text} {EVIL} $x$ & \"'" for text in table["text"].to_pylist()])
    return pa.table({"text": texts, "label": labels})


@pytest.fixture(scope="module")
def written(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    spec = short_spec(training={"dense_baseline": True})
    prune(model_dir, hostile(96), spec, folder, evaluation=hostile(40, seed=1), lineage_extra=NAMES)
    return folder


@pytest.fixture(scope="module")
def report(written: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


def test_the_report_follows_its_published_schema(report: dict[str, Any]) -> None:
    validator = Draft202012Validator(json_schema())
    assert [error.message for error in validator.iter_errors(report)] == []
    broken = copy.deepcopy(report)
    broken["comparison"]["pruned"]["value"] = "good"
    assert list(validator.iter_errors(broken))


def test_it_says_what_was_measured(report: dict[str, Any]) -> None:
    assert report["comparison"]["rows"] == 40
    pruned, dense, gap = (report["comparison"][name] for name in ("pruned", "dense", "difference"))
    assert pruned["value"] == report["eval"]["accuracy"]
    assert dense["value"] == report["dense_eval"]["accuracy"]
    assert gap["value"] == pytest.approx(pruned["value"] - dense["value"])
    assert gap["low"] <= gap["value"] <= gap["high"]
    assert "Agresti & Min 2005" in report["comparison"]["methods"], "names keep their capitals"
    assert sum(map(sum, report["confusion"]["counts"])) == 40
    right = report["confusion"]["counts"][0][0] + report["confusion"]["counts"][1][1]
    assert right / 40 == pruned["value"]
    assert report["schedule"][0] == [0, 1.0]
    assert report["schedule"][-1] == [24, pytest.approx(0.1)]
    assert {"train/loss", "eval/accuracy", "dense/train/loss", "dense/eval/accuracy", "density"} <= set(
        report["curves"]
    )
    assert [batch["batch_size"] for batch in report["latency"]["batches"]] == [1, 32]
    assert all(second > 0 for batch in report["latency"]["batches"] for second in batch["seconds"].values())
    kept, removed = (sum(map(sum, report["histogram"][part])) for part in ("kept", "removed"))
    assert kept + removed == report["histogram"]["sampled"] == sum(layer["total"] for layer in report["layers"])
    assert kept == sum(layer["kept"] for layer in report["layers"])


def test_rows_it_gets_wrong_are_those_rows(report: dict[str, Any]) -> None:
    table = hostile(40, seed=1)
    assert report["errors"]
    for error in report["errors"]:
        assert error["fields"]["text"] == table["text"][error["row"] - 1].as_py()
        assert error["fields"]["label"] != error["said"]


def test_what_users_wrote_is_text_and_never_markup(page: str) -> None:
    elements = Elements(page)
    assert not {"script", "iframe", "object", "form", "link", "base"} & {tag for tag, _ in elements.found}
    assert EVIL in elements.text, "it is shown as it is"
    assert f"MiniLM {EVIL} on reviews & more" in elements.text
    assert "&lt;script&gt;" in page
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")]


def test_it_needs_no_network(page: str) -> None:
    """Addresses are only the names of XML's own vocabularies, and places within the page."""
    for _, attributes in Elements(page).found:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value is not None
                assert value.startswith(("#", "data:image/png;base64,")), value
    assert "@import" not in page
    assert "url(http" not in page


def svgs(page: str) -> Iterator[ElementTree.Element]:
    for part in page.split("<svg ")[1:]:
        yield ElementTree.fromstring(f"<svg {part[: part.index('</svg>')]}</svg>")  # noqa: S314 - our own


def test_every_picture_is_whole_described_and_of_the_page_s_colour(page: str) -> None:
    drawn = list(svgs(page))
    assert [picture.get("aria-label", "").split(".")[0] for picture in drawn] == [
        "Training", "Density schedule", "Where weights remain", "Distribution of the weights",
        "Importance against weight",
    ]  # fmt: skip
    assert "mathdefault" not in page
    ids: list[str] = []
    for picture in drawn:
        assert picture.get("role") == "img"
        assert len(picture.get("aria-label") or "") > 30
        own = [element.get("id") for element in picture.iter() if element.get("id")]
        ids += [each for each in own if each is not None]
        links = {
            value[1:]
            for e in picture.iter()
            for name, value in e.attrib.items()
            if name.endswith("href") and value[0] == "#"
        }
        assert links <= set(own)
    assert len(ids) == len(set(ids)), "pictures share no ids"
    assert "currentColor" in page
    assert "#010203" not in page
    assert "#ffffff" not in page.replace("#fff;", ""), "no white ground on a dark page"


def test_it_is_small_and_drawn_the_same_again(written: Path, report: dict[str, Any], page: str, tmp_path: Path) -> None:
    assert len(page) < 500_000
    write_page(report, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_a_large_model_s_report_stays_small(report: dict[str, Any], tmp_path: Path) -> None:
    """400 matrices, 77 classes, curves of 220 points: still one page to be read."""
    large = copy.deepcopy(report)
    row = report["layers"][0]
    large["layers"] = [{**row, "name": f"encoder.layer.{n // 6}.part{n % 6}.{'x' * 100}"} for n in range(400)]
    large["confusion"] = {"labels": [f"class {n}" for n in range(20)], "counts": [[n] * 20 for n in range(20)]}
    large["curves"]["train/loss"] = [[step, 1 / (1 + step)] for step in range(220)]
    write_page(large, tmp_path / "large.html")
    assert (tmp_path / "large.html").stat().st_size < 700_000


def test_the_library_names_neither_model_nor_dataset(report: dict[str, Any], page: str, tmp_path: Path) -> None:
    assert "on <bdi>reviews &amp; more</bdi></p>" in page
    bare = report | {"lineage": {name: value for name, value in report["lineage"].items() if name not in NAMES}}
    write_page(bare, tmp_path / "bare.html")
    drawn = (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "reviews &amp; more" not in drawn
    assert drawn.count("<h2") == page.count("<h2") > 0


def test_what_html_may_not_hold_is_replaced(report: dict[str, Any], tmp_path: Path) -> None:
    lineage = report["lineage"] | {"dataset_name": "a\x00b\x1b[31mc\x7f\x85\ufffed\te"}
    write_page(report | {"lineage": lineage}, tmp_path / "page.html")
    assert "a�b�[31mc���d\te" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_loss_that_is_not_finite_is_null_in_a_valid_report(report: dict[str, Any], tmp_path: Path) -> None:
    overflown = report | {"eval": report["eval"] | {"loss": float("inf")}}
    written = Report.model_validate(overflown).model_dump_json()
    assert Report.model_validate_json(written).eval["loss"] is None
    write_page(json.loads(written), tmp_path / "page.html")


def test_a_job_outlives_a_picture_that_cannot_be_drawn(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()  # nothing can be written there
    result = prune(model_dir, reviews(96), short_spec(), tmp_path, evaluation=reviews(40, seed=1))
    report = json.loads((tmp_path / "report.json").read_text())
    assert "report.html could not be drawn" in report["notes"][-1]
    assert result.report["notes"] == report["notes"]


def test_the_library_may_leave_the_pictures_out(model_dir: Path, tmp_path: Path) -> None:
    prune(model_dir, reviews(96), short_spec(), tmp_path, evaluation=reviews(40, seed=1), illustrated=False)
    report = json.loads((tmp_path / "report.json").read_text())
    assert not (tmp_path / "report.html").exists()
    assert report["latency"] is None
    assert report["verdict"]["kind"] in ("no_baseline", "useless")
