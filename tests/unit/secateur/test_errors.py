"""A problem reads as sentences."""

import json

import httpx
import pytest

from secateur import (
    AccessRefused,
    ApiProblem,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from secateur.answers import list_of, object_of, problem_of


def answer(status: int, body: object | str, **headers: str) -> httpx.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    request = httpx.Request("GET", "http://service/v1/jobs")
    return httpx.Response(status, text=text, headers=headers, request=request)


def test_a_problem_lists_each_field_with_its_remedy() -> None:
    problem = ApiProblem(
        422,
        "The request is not valid",
        "The spec has 2 problems.",
        [
            FieldError("/target_sparsity", "must lie between 0 and 1"),
            FieldError("/pruning/schedule/warmup", "is too long"),
        ],
    )
    assert str(problem) == (
        "The spec has 2 problems.\n"
        "  - target_sparsity: must lie between 0 and 1\n"
        "  - pruning.schedule.warmup: is too long"
    )


def test_a_single_field_is_told_in_one_line() -> None:
    problem = ApiProblem(
        422, "Not valid", "must lie between 0 and 1", [FieldError("/target_sparsity", "must lie between 0 and 1")]
    )
    assert str(problem) == "target_sparsity: must lie between 0 and 1"


@pytest.mark.parametrize(
    ("pointer", "detail", "text"),
    [
        ("/pruning/schedule/shape", "pruning.schedule.shape 'cubic' does not go with method 'wanda'.", None),
        ("/limits/max_runtime_s", "limits.max_runtime_s: should be at least 60.", None),
        ("/pruning", "pruning.scope 'local' has no meaning.", None),
        ("/model", "models are uploaded first.", "model: models are uploaded first."),
        ("/name", "name_of is no field.", "name: name_of is no field."),
        ("", "The body is empty.", None),
    ],
)
def test_a_detail_that_names_its_field_is_told_as_it_is(pointer: str, detail: str, text: str | None) -> None:
    assert str(FieldError(pointer, detail)) == (text or detail)


def test_a_pointer_is_unescaped_for_people() -> None:
    assert str(FieldError("/tags/a~1b~0c", "is too long")) == "tags.a/b~c: is too long"


def test_a_failure_of_the_service_names_the_request_for_its_operator() -> None:
    body = {"title": "The service failed", "status": 500, "detail": "Something went wrong.", "request_id": "r-17"}
    assert str(problem_of(answer(500, body))) == "Something went wrong. (request_id r-17)"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessRefused),
        (403, AccessRefused),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, ServiceUnavailable),
        (503, ServiceUnavailable),
        (500, ApiProblem),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ApiProblem]) -> None:
    problem = problem_of(answer(status, {"title": "t", "detail": "d", "status": status}))
    assert type(problem) is kind
    assert isinstance(problem, ApiProblem)
    assert (problem.status, problem.title, problem.detail) == (status, "t", "d")


def test_a_proxys_own_page_still_tells_address_and_status() -> None:
    assert str(problem_of(answer(502, "<html>Bad gateway</html>"))) == (
        "http://service/v1/jobs answered 502 Bad Gateway without saying why."
    )


def test_a_redirect_is_not_followed_but_told() -> None:
    problem = problem_of(answer(308, "", location="https://service/"))
    assert isinstance(problem, UnexpectedAnswer)
    assert "https://service/" in str(problem)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-3", 0.0), ("nan", None)])
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    problem = problem_of(answer(503, {}, **{"retry-after": header}))
    assert isinstance(problem, ApiProblem)
    assert problem.retry_after_s == seconds


def test_retry_after_as_a_date_that_has_passed_means_now() -> None:
    problem = problem_of(answer(503, {}, **{"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    assert isinstance(problem, ApiProblem)
    assert problem.retry_after_s == 0.0


@pytest.mark.parametrize("body", ["<html>Log in</html>", "[]", "null", '{"other": 1}', '{"data": 5}'])
def test_an_answer_that_is_not_secateurs_is_refused_with_its_address(body: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="http://service/v1/jobs does not answer as Secateur does"):
        list_of(answer(200, body))


def test_fields_a_newer_service_adds_pass_through() -> None:
    assert object_of(answer(200, {"id": "job_1", "new": True}), "id")["new"] is True


@pytest.mark.parametrize("kind", ["query", "header", "path"])
def test_a_parameter_is_named_once(kind: str) -> None:
    assert str(FieldError(f"/{kind}/job", "job: give it at least 2 times, not 1.")) == (
        "job: give it at least 2 times, not 1."
    )
