"""What schemathesis cannot know: which refusals no schema can foresee, and two checks of our own."""

import os
import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

#: The key that asks: a run that revokes it hears nothing but 401 from then on.
_OWN_KEY = os.environ["CONTRACT_KEY_ID"]
_NOBODYS_KEY = f"key_{'0' * 32}"

_LONGEST_WAIT_S = 50

#: Fields of requests that only the service can judge: a refusal that names these, and no others, is no finding.
_JUDGED_BY_THE_SERVICE = {
    # Whether there is such a thing, and whether its parts go together.
    "/model": "there is such a model",
    "/dataset": "there is such a dataset, with columns that fit",
    "/base": "the job at each point is one that can run",
    "/grid": "the same, and no value comes twice",
    "": "a choice of method and granularity and the like that go together",
    "/method": "there is such a method (GET /v1/methods says which)",
    "/target_sparsity": "so much can be removed of so few layers",
    "/pruning": "the method's own parameters, a pattern that RE2 takes, a schedule for so many steps",
    "/training": "so many steps, so long texts, so many GPUs",
    "/task": "the columns are there",
    "/splits": "the splits are there",
    "/labels": "it is what follows from the rest",
    "/holdout": "the same",
    "/total_steps": "the same",
    "/export": "int8 of a model that is exported to ONNX",
    "/distillation": "there is such a teacher, which fits",
    # Text that Python calls printable; Unicode's categories are no regular expression.
    "/name": "it is printable",
    "/url": "it is a URL that may be called, of no other webhook",
    "/webhook": "there is such a webhook",
    "/tags": "the text can be stored",
    "/header/Upload-Metadata": "pairs with values in Base64",
    # Only what the service gave out.
    "/query/cursor": "it was given out for this list",
    "/query/layer": "the job has such a layer",
    "/query/from": "it is a day at most a year before `to`",
    "/query/job": "each is named once",
    "/header/Idempotency-Key": "it is the key of one request",
}

#: And statuses that say so without a field.
_BY_STATUS = {
    413: "so much is allowed, which the operator sets",
    416: "the file has such bytes",
}


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Say MetricsView's points without `prefixItems`, from which schemathesis 4.32 makes a schema that is none."""
    series = raw_schema["components"]["schemas"]["MetricsView"]["properties"]["series"]
    points = series["additionalProperties"]["items"]
    points["items"] = {"anyOf": points.pop("prefixItems")}


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Leave the key alone that asks, and wait for nothing for long: nothing comes."""
    if case.path_parameters.get("key_id") == _OWN_KEY:
        case.path_parameters["key_id"] = _NOBODYS_KEY
    wait = case.query.get("wait")
    if isinstance(wait, float | int) and 0 < wait <= _LONGEST_WAIT_S:
        case.query["wait"] = min(wait, 0.1)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Let a refusal of a request that fits its schema pass, where no schema could tell."""
    if response.status_code == 414:
        return False  # an address of over 8 KiB never becomes a request, so no operation answers it
    if not isinstance(failure, RejectedPositiveData):
        # To delete a key is to revoke it; that it was, and when, stays to be read.
        return not (isinstance(failure, UseAfterFree) and case.operation.path == "/v1/keys/{key_id}")
    if response.status_code in _BY_STATUS:
        return False
    if response.status_code == 400 and case.operation.label == "POST /v1/uploads":
        return False  # whether Upload-Metadata is Base64
    if case.media_type == "multipart/form-data":
        return False  # what is a file is told by its part's file name, of which no schema speaks, and then by its bytes
    pointers = [error["pointer"] for error in response.json().get("errors", [])]
    return not pointers or not all(_is_judged_by_the_service(pointer) for pointer in pointers)


def _is_judged_by_the_service(pointer: str) -> bool:
    return any(pointer == known or (known and pointer.startswith(f"{known}/")) for known in _JUDGED_BY_THE_SERVICE)


@schemathesis.serializer("application/offset+octet-stream")
def part_of_a_file(ctx: object, value: object) -> bytes:
    """The bytes of a part of an upload."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.check
def headers_are_documented(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every header that an answer has is in the description of the answer, or belongs to every answer."""
    if response.request.method != case.operation.method.upper():
        return  # a probe whether the address takes another method
    documented = _documented(case, response).get("headers", {})
    known = {name.lower() for name in documented} | _OF_EVERY_ANSWER
    unknown = set(response.headers) - known
    assert not unknown, f"{response.status_code} has headers that are not documented: {', '.join(sorted(unknown))}"


@schemathesis.check
def problems_are_documented(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every problem is of a type that the description of its operation shows, and says something."""
    if response.headers.get("content-type", [""])[0] != "application/problem+json":
        return
    problem = response.json()
    if media := _documented(case, response).get("content"):  # without: another check tells of the status
        types = {example["value"]["type"] for example in media["application/problem+json"]["examples"].values()}
        assert problem["type"] in types, f"{problem['type']} is not documented, only {', '.join(types)}"
    assert re.fullmatch(r".+[.…]", problem["detail"], re.DOTALL), f"no sentence: {problem['detail']!r}"


#: Of HTTP itself, of what carries the answer, and of browsers (docs/api.md, Browsers).
_OF_EVERY_ANSWER = {
    "content-length", "content-type", "date", "server", "transfer-encoding", "connection",
    "content-security-policy", "referrer-policy", "x-content-type-options", "x-frame-options", "allow", "x-request-id",
}  # fmt: skip


def _documented(case: Case[Any], response: Response) -> dict[str, Any]:
    """What the document says of an answer; of a method that the route lacks, nothing."""
    raw: dict[str, Any] = case.operation.schema.raw_schema
    found: dict[str, Any] = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    if "$ref" in found:
        found = raw["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found
