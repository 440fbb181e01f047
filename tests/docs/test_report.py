"""The published schema is the one that reports follow, and the report's page names every field of it."""

import json

from jsonschema import Draft202012Validator

from pruning_core.report_schema import Report, json_schema
from tests.docs.markdown import ROOT, read

FILE = ROOT / "docs" / "report.schema.json"


def test_the_published_schema_is_the_one_that_reports_follow() -> None:
    remedy = "Write it anew: python -m pruning_core.report_schema > docs/report.schema.json"
    assert json.loads(FILE.read_text(encoding="utf-8")) == json_schema(), remedy
    Draft202012Validator.check_schema(json_schema())


def test_every_verdict_is_documented() -> None:
    kinds = json_schema()["$defs"]["Verdict"]["properties"]["kind"]["enum"]  # type: ignore[index]  # JSON data
    assert set(kinds) <= read(ROOT / "docs" / "report.md").code_spans()


def test_what_is_new_in_a_report_is_documented() -> None:
    spans = read(ROOT / "docs" / "report.md").code_spans() | {"verdict"}
    as_before = {
        "version", "method", "target_sparsity", "primary_metric", "eval", "dense_eval", "packed_eval", "data",
        "seconds", "spec",
    }  # fmt: skip
    assert set(Report.model_fields) - as_before <= spans
