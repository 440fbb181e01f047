"""What /openapi.json says is whole, true to its own schemas, and the same as what docs/api.md says of problems."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from api.contract.document import TAGS, operations
from api.contract.problems import EXAMPLES
from api.problems import TYPE_PREFIX, Problem
from tests.docs.markdown import ROOT, read

PAGE = read(ROOT / "docs" / "api.md")
OPEN_TO_ALL = {"GET /healthz", "GET /readyz", "GET /metrics"}
#: What can be wrong with any request that needs a key, whatever it asks.
OF_EVERY_KEY = {"401", "403", "429", "500", "503"}
WITHOUT_CONTENT = {"204", "304"}

Described = dict[str, Any]


@pytest.fixture(scope="module")
def named(description: Described) -> dict[str, Described]:
    """Every operation by its method and path."""
    return dict(operations(description))


def resolved(document: Described, part: Described) -> Described:
    """The part itself, or what it refers to."""
    for name in part.get("$ref", "#").split("/")[1:]:
        document = document[name]
    return document if "$ref" in part else part


def answers(document: Described, operation: Described) -> Iterator[tuple[str, Described]]:
    """Every answer of an operation by its status."""
    for status, response in operation["responses"].items():
        yield status, resolved(document, response)


def faults(document: Described, schema: Described, example: object) -> list[str]:
    """What of an example its schema does not allow."""
    whole = {**schema, "components": document["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    return [str(error.message) for error in Draft202012Validator(whole, format_checker=checker).iter_errors(example)]


def test_the_document_is_openapi_3_1(description: Described) -> None:
    validate(cast(Any, description))
    assert description["openapi"].startswith("3.1.")
    assert {"title", "description", "version", "license"} <= description["info"].keys()


def test_every_operation_says_what_it_does(named: dict[str, Described]) -> None:
    assert [name for name, each in named.items() if not (each.get("summary") and each.get("description"))] == []
    assert {tag for each in named.values() for tag in each["tags"]} == set(TAGS)
    ids = [each["operationId"] for each in named.values()]
    assert len(set(ids)) == len(ids) == len(named)


def test_every_operation_shows_what_to_send_and_what_comes_back(
    description: Described, named: dict[str, Described]
) -> None:
    without = []
    for name, operation in named.items():
        media = list(operation.get("requestBody", {}).get("content", {}).items())
        for status, answer in answers(description, operation):
            content = answer.get("content", {})
            assert bool(content) != (status in WITHOUT_CONTENT), f"{name} {status}"
            media += [(f"{status} {media_type}", shown) for media_type, shown in content.items()]
        without += [f"{name} {what}" for what, shown in media if not {"example", "examples"} & shown.keys()]
        without += [f"{name} {each['name']}" for each in operation.get("parameters", []) if lacks_example(each)]
    assert without == [], "Put one into api/contract/examples."


def lacks_example(parameter: Described) -> bool:
    return bool(parameter["required"]) and "example" not in parameter


def test_every_example_is_what_its_schema_says(description: Described, named: dict[str, Described]) -> None:
    wrong: list[str] = []

    def check(where: str, shown: Described) -> None:
        values = [shown["example"]] if "example" in shown else []
        values += [each["value"] for each in shown.get("examples", {}).values()]
        wrong.extend(f"{where}: {fault}" for each in values for fault in faults(description, shown["schema"], each))

    for name, operation in named.items():
        for parameter in operation.get("parameters", []):
            check(f"{name} {parameter['name']}", parameter)
        for media_type, shown in operation.get("requestBody", {}).get("content", {}).items():
            check(f"{name} {media_type}", shown)
        for status, answer in answers(description, operation):
            for media_type, shown in answer.get("content", {}).items():
                check(f"{name} {status} {media_type}", shown)
            for header, shown in answer.get("headers", {}).items():
                check(f"{name} {status} {header}", shown)
    assert wrong == []


def test_every_operation_names_its_key_and_the_problems_that_come_with_it(
    description: Described, named: dict[str, Described]
) -> None:
    [(scheme, says)] = description["components"]["securitySchemes"].items()
    assert (says["type"], says["scheme"]) == ("http", "bearer")
    assert all(scope in says["description"] for scope in ("`read`", "`submit`", "`admin`"))
    for name, operation in named.items():
        if name in OPEN_TO_ALL:
            assert "security" not in operation
            continue
        [[scope]] = [needed[scheme] for needed in operation["security"]]
        assert scope in {"read", "submit", "admin"}, name
        expected = OF_EVERY_KEY | ({"422"} if operation.get("parameters") or operation.get("requestBody") else set())
        assert expected <= operation["responses"].keys(), name
        if operation.get("requestBody"):
            assert {"413", "415"} <= operation["responses"].keys(), name


def test_every_answer_says_its_headers_and_every_refusal_is_a_problem(
    description: Described, named: dict[str, Described]
) -> None:
    for name, operation in named.items():
        for status, answer in answers(description, operation):
            assert answer["headers"]["X-Request-ID"]["description"], f"{name} {status}"
            assert answer["description"], f"{name} {status}"
            if status >= "400" and name != "GET /readyz":
                [media] = answer["content"].items()
                assert media[0] == "application/problem+json", f"{name} {status}"
                shown = [each["value"] for each in media[1]["examples"].values()]
                assert {str(each["status"]) for each in shown} == {status}, f"{name} {status}"
        wait = {status for status in ("429", "503") if "Retry-After" in headers(description, operation, status)}
        assert wait == {"429", "503"} & operation["responses"].keys(), name


def headers(description: Described, operation: Described, status: str) -> set[str]:
    answer = resolved(description, operation["responses"].get(status, {}))
    return set(answer.get("headers", {}))


def test_what_has_an_etag_is_asked_for_with_it(description: Described, named: dict[str, Described]) -> None:
    for name, operation in named.items():
        asked = {each["name"] for each in operation.get("parameters", [])}
        says = headers(description, operation, "200")
        assert ("ETag" in says) == ("If-None-Match" in asked) == ("304" in operation["responses"]), name
        assert ("Accept-Ranges" in says) == ("Range" in asked) == ("206" in operation["responses"]), name


def test_links_lead_to_operations_that_take_what_they_give(description: Described, named: dict[str, Described]) -> None:
    by_id = {each["operationId"]: each for each in named.values()}
    links = [
        link
        for operation in named.values()
        for _, answer in answers(description, operation)
        for link in answer.get("links", {}).values()
    ]
    assert len(links) > 40
    for link in links:
        assert link["parameters"].keys() <= {each["name"] for each in by_id[link["operationId"]]["parameters"]}


def kinds(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem that the code can raise; the app has imported them all."""
    yield of
    for each in of.__subclasses__():
        yield from kinds(each)


def test_every_problem_that_can_be_raised_has_an_example_and_a_row() -> None:
    raised = {each.slug for each in kinds()}
    assert {each.slug for each in EXAMPLES} == raised
    rows = {row[0]: row[1] for row in PAGE.rows() if row[0].startswith(TYPE_PREFIX)}
    assert rows == {TYPE_PREFIX + each.slug: str(int(each.status)) for each in kinds()}


def test_a_type_of_problem_has_one_title() -> None:
    titles: dict[str, set[str]] = {}
    for each in kinds():
        titles.setdefault(each.slug, set()).add(each.title)
    assert {slug: found for slug, found in titles.items() if len(found) > 1} == {}


def test_types_of_problems_named_elsewhere_exist() -> None:
    raised = {TYPE_PREFIX + each.slug for each in kinds()}
    for path in (ROOT / "docs").rglob("*.md"):
        named = set(re.findall(rf"{TYPE_PREFIX}[a-z-]+", path.read_text(encoding="utf-8")))
        assert named <= raised, path
