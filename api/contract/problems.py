"""Which problems an operation can answer, and an example of each."""

from api import problems
from api.contract.fragments import SCHEMAS, Fragment
from api.contract.headers import BELOW_HF, LIMITED, SOMETIMES, headers_of
from api.problems import FieldError, Problem
from api.sources.problems import Fetching

EXAMPLES: tuple[Problem, ...] = (
    problems.MalformedRequest("The body is not JSON: Expecting value at line 2, column 13."),
    problems.Unauthenticated("Send your key in the header `Authorization: Bearer sec_…`."),
    problems.ScopeMissing("This needs a key with scope 'submit'; yours has: read."),
    problems.Missing("There is no job job_019a4f1e2d3c7b4a8f6e5d4c3b2a1009."),
    problems.MethodNotAllowed("PUT is not possible on /v1/methods; use GET.", allowed="GET"),
    problems.StateForbids(
        "Job job_019a4f1e2d3c7b4a8f6e5d4c3b2a1001 has succeeded and cannot be cancelled: it has ended."
    ),
    problems.Expired("The files of job job_019a4f1e2d3c7b4a8f6e5d4c3b2a1001 were removed by the retention policy."),
    problems.TooSlow("The body came too slowly: 12 bytes in 20 seconds. Send it again."),
    problems.PreconditionFailed(
        "Send `Tus-Resumable: 1.0.0`: uploads in parts speak tus 1.0.0.", headers={"Tus-Version": "1.0.0"}
    ),
    problems.TooLarge("The body is over 1,048,576 bytes. Leave out what is not part of the request."),
    problems.WrongMediaType("Send JSON with `Content-Type: application/json`, not 'text/plain'."),
    problems.RangeNotSatisfiable("The file has 1,024 bytes, and the range lies outside."),
    problems.Invalid([FieldError("/target_sparsity", "target_sparsity: input should be less than 1, not 1.5.")]),
    problems.RateLimited("The key may ask 600 times in 60 seconds. Ask again in 42 seconds.", retry_after_s=42),
    problems.LimitReached("The team has 10,000 jobs waiting, which is its limit. Wait, or cancel some."),
    Problem(
        "Something went wrong on our side. Try again; if it stays, give the operator the request_id of this answer."
    ),
    problems.Unavailable("The database does not answer right now. Try again in a moment."),
    Fetching(
        "hf://google-bert/bert-base-uncased is still on its way here. Send the same request again.", retry_after_s=5
    ),
)
"""One of each kind. Where several have a status, the first follows from a shape, and routes declare the others."""

_REQUEST_ID = "5f2b7c1d9e8a4b3c8d7e6f5a4b3c2d1e"

#: What is parsed may turn out to be unreadable; forms and bytes are read as they are.
_PARSED = {"application/json", "multipart/form-data"}


def components() -> Fragment:
    """Every problem as a response to refer to, by its name; one that shares its status shows those before it too."""
    responses: Fragment = {}
    for each in EXAMPLES:
        alike = [other for other in EXAMPLES[: EXAMPLES.index(each) + 1] if other.status == each.status]
        responses[_name(each)] = _response(alike)
    return responses


def add_problems(operation: Fragment) -> None:
    """Refer an operation to the problems that follow from its shape, and to those that its route declares."""
    responses: Fragment = operation["responses"]
    declared = {int(status) for status, response in responses.items() if status >= "4" and not _is_ours(response)}
    for status in sorted(declared | _implied(operation)):
        alike = [each for each in EXAMPLES if each.status == status]
        responses.setdefault(str(status), {})
        if not _is_ours(responses[str(status)]):
            name = _name(alike[-1 if status in declared else 0])
            responses[str(status)] = {"$ref": f"#/components/responses/{name}"}


def _implied(operation: Fragment) -> set[int]:
    """The statuses of problems that follow from an operation's key, parameters and body."""
    implied = {500}
    if operation.get("security"):
        implied |= {401, 403, 429, 503}
    parameters = operation.get("parameters", [])
    if any(each["in"] == "path" for each in parameters):
        implied.add(404)
    body: Fragment = operation.get("requestBody", {}).get("content", {})
    if parameters or body:
        implied.add(422)
    if body:
        implied |= {408, 413, 415}
    if body.keys() & _PARSED:
        implied.add(400)
    return implied


def _is_ours(response: Fragment) -> bool:
    """Whether an answer has a form that a route gave it: who asks for readiness is told it, whatever the status."""
    schemas = [media["schema"].get("$ref") for media in response.get("content", {}).values()]
    return any(schema != f"{SCHEMAS}HTTPValidationError" for schema in schemas)


def _name(problem: Problem) -> str:
    return "Internal" if type(problem) is Problem else type(problem).__name__


def _response(alike: list[Problem]) -> Fragment:
    *_, last = alike
    common = set.intersection(*(set(each.headers) for each in alike))
    further = {name: None for each in alike for name in each.headers if name not in common}
    optional = (*further, *SOMETIMES.get(last.status, ()), *LIMITED, *BELOW_HF)
    schema = {"$ref": f"{SCHEMAS}{problems.ProblemDocument.__name__}"}
    shown = {each.slug: {"summary": each.title, "value": _document(each)} for each in alike}
    return {
        "description": "; or: ".join(each.title for each in reversed(alike)),
        "headers": headers_of(*sorted(common), optional=optional),
        "content": {problems.MEDIA_TYPE: {"schema": schema, "examples": shown}},
    }


def _document(problem: Problem) -> Fragment:
    shown = problems.document(problem, instance="/v1/jobs", request_id=_REQUEST_ID)
    return shown.model_dump(mode="json", exclude_none=True)
