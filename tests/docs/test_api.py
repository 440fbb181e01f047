"""Every route and query parameter is documented, and every request in the documentation would be understood."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from pruning_core.spec import PruningSpec
from tests.docs.markdown import ROOT, Page, all_pages, read

PAGE = read(ROOT / "docs" / "api.md")
FRAMEWORKS_OWN = {"HTTPValidationError", "ValidationError"}
# Documented in docs/methods.md, which test_methods.py checks.
PARTS_OF_THE_SPEC = (
    "Block", "Distillation", "Export", "JobSpec", "Limits", "Pruning", "QuestionAnswering", "Regression",
    "ScheduleSpec", "Splits", "TextClassification", "TokenClassification", "Training",
)  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete")


def curls(page: Page) -> Iterator[tuple[str, str, list[str]]]:
    """Each request that a page's shell examples make: method, path, and the JSON bodies it sends."""
    for block in page.blocks("bash"):
        for command in re.findall(r"curl (?:[^\n\\]|\\\n|\\.)*", block):
            words = shlex.split(command.replace("\\\n", " ").split("|")[0].rstrip(" )"))
            bodies = [words[index + 1] for index, word in enumerate(words) if word in {"-d", "--data"}]
            posts = bool(bodies) or "-F" in words
            for word in words:
                if word.startswith("$URL/"):
                    yield ("post" if posts else "get"), word.removeprefix("$URL"), bodies


def matches(template: str, path: str) -> bool:
    """Whether a path, shell variables and all, is one of a route's."""
    return re.fullmatch(re.sub(r"\\\{.*?\\\}", r".+", re.escape(template)), path) is not None


def test_every_route_has_a_heading_and_every_heading_a_route(paths: dict[str, dict[str, Any]]) -> None:
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in METHODS if method in item}
    headings = {heading for heading in PAGE.headings() if re.match(r"[A-Z]+ /", heading)}
    assert headings == routes


def test_every_query_parameter_is_documented_with_its_route(paths: dict[str, dict[str, Any]]) -> None:
    undocumented = [
        f"{method.upper()} {path}?{parameter['name']}"
        for path, item in paths.items()
        for method in METHODS
        for parameter in item.get(method, {}).get("parameters", [])
        if parameter["in"] in {"query", "header"}
        and not re.search(
            rf"\b{re.escape(parameter['name'])}\b", PAGE.section(f"{method.upper()} {path}"), re.IGNORECASE
        )
    ]
    assert undocumented == []


def test_every_field_of_every_answer_is_documented(description: dict[str, Any]) -> None:
    text = PAGE.path.read_text(encoding="utf-8")
    fields = {
        f"{schema}.{name}"
        for schema, content in description["components"]["schemas"].items()
        if schema not in FRAMEWORKS_OWN and not schema.startswith(PARTS_OF_THE_SPEC)
        for name in content.get("properties", {})
    }
    assert {field for field in fields if not re.search(rf"[`\"]{field.rpartition('.')[2]}[`\"]", text)} == set()


@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_every_curl_reaches_a_route(name: str, paths: dict[str, dict[str, Any]]) -> None:
    requests = list(curls(read(ROOT / name)))
    assert requests, "The page shows the API by curl."
    for method, path, _ in requests:
        assert any(method in item and matches(template, path) for template, item in paths.items()), f"{method} {path}"


def test_the_spec_in_the_readme_is_one_the_core_accepts() -> None:
    [body] = [body for _, _, bodies in curls(read(ROOT / "README.md")) for body in bodies]
    spec = json.loads(body)
    assert {spec.pop("model"), spec.pop("dataset")} == {"upload://$MODEL", "upload://$DATASET"}
    PruningSpec.model_validate(spec)


@pytest.mark.parametrize("page", [page for page in all_pages() if page.blocks("json")], ids=lambda page: page.name)
def test_json_in_the_documentation_is_json(page: Page) -> None:
    for block in page.blocks("json"):
        json.loads(block)
