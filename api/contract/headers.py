"""Which headers go with which operation: those of its answers, and of requests those that FastAPI does not see."""

from collections.abc import Mapping

from api.contract.fragments import Fragment

_TEXT: Fragment = {"type": "string"}
_COUNT: Fragment = {"type": "integer", "minimum": 0}

#: Of answers: what it says, its schema, an example.
_ANSWERS: Mapping[str, tuple[str, Fragment, str | int]] = {
    "X-Request-ID": ("Finds the request in the service's log.", _TEXT, "5f2b7c1d9e8a4b3c8d7e6f5a4b3c2d1e"),
    "RateLimit": ("Where the operator limits keys: what is left, and until when.", _TEXT, '"key";r=598;t=42'),
    "RateLimit-Policy": ("Where the operator limits keys: so many in so many seconds.", _TEXT, '"key";q=600;w=60'),
    "Retry-After": ("Seconds after which to ask again.", _COUNT, 5),
    "WWW-Authenticate": ("How to say who asks.", _TEXT, 'Bearer realm="secateur"'),
    "Allow": ("The methods that the address takes.", _TEXT, "DELETE, GET, HEAD"),
    "Location": ("The address of what was made.", _TEXT, "/v1/jobs/job_019a4f1e2d3c7b4a8f6e5d4c3b2a1001"),
    "ETag": ("Names this version; `If-None-Match` takes it.", _TEXT, '"job_019a4f1e2d3c7b4a8f6e5d4c3b2a1001.3"'),
    "Cache-Control": ("How long it may be kept.", _TEXT, "no-cache"),
    "Vary": ("Which header chooses the form of the answer.", _TEXT, "Accept"),
    "Content-Disposition": ("A name to save it under.", _TEXT, "attachment; filename*=UTF-8''model.packed"),
    "Accept-Ranges": ("Parts of it may be asked for.", {"const": "bytes"}, "bytes"),
    "Content-Range": ("Which part this is, of how much.", _TEXT, "bytes 0-1023/4096"),
    "Repr-Digest": (
        "The whole file's sha256 (RFC 9530).",
        _TEXT,
        "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    ),
    "Tus-Resumable": ("The version of the protocol.", {"const": "1.0.0"}, "1.0.0"),
    "Tus-Version": ("The versions that are spoken here.", {"const": "1.0.0"}, "1.0.0"),
    "Accept-Encoding": ("How bodies may be encoded.", {"const": "identity"}, "identity"),
    "X-Error-Code": ("Below /hf: the refusal, as the hub's clients know it.", _TEXT, "RepoNotFound"),
    "X-Error-Message": ("Below /hf: its detail, as the hub's clients show it.", _TEXT, "There is no such repository."),
    "Upload-Offset": ("Bytes that have come.", _COUNT, 0),
    "Upload-Length": ("Bytes of the whole file.", _COUNT, 26),
    "Upload-Metadata": ("Its name, in Base64.", _TEXT, "filename dHJhaW4uY3N2"),
    "Upload-Expires": ("When it is removed, unless more comes.", _TEXT, "Fri, 27 Nov 2026 07:00:00 GMT"),
    "X-Repo-Commit": ("The repository's commit.", _TEXT, "0" * 40),
    "X-Linked-Etag": ("The file's sha256, quoted.", _TEXT, f'"{"0" * 64}"'),
    "X-Linked-Size": ("The file's bytes.", _COUNT, 1024),
}

#: Of problems: headers that some of their kind have.
SOMETIMES: Mapping[int, tuple[str, ...]] = {
    404: ("X-Repo-Commit",),
    409: ("Upload-Offset",),
    415: ("Accept-Encoding",),
}
BELOW_HF = ("X-Error-Code", "X-Error-Message")
LIMITED = ("RateLimit", "RateLimit-Policy")

_MADE = ("Location",)
_MADE_KEY = (*_MADE, "Cache-Control")
_VERSION = ("ETag", "Cache-Control")
_FILE = (*_VERSION, "Accept-Ranges", "Content-Disposition", "Repr-Digest")
_HUB_FILE = (*_FILE, "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size")
_TUS = ("Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Cache-Control")

#: What an operation's success always says, besides what every answer says.
_OF: Mapping[str, tuple[str, ...]] = {
    "POST /v1/jobs": _MADE,
    "POST /v1/jobs/{job_id}/retry": _MADE,
    "POST /v1/sweeps": _MADE,
    "POST /v1/datasets": _MADE,
    "POST /v1/models": _MADE,
    "POST /v1/keys": _MADE_KEY,
    "POST /v1/keys/{key_id}/rotate": _MADE_KEY,
    "POST /v1/webhooks": _MADE_KEY,
    "POST /v1/webhooks/{webhook_id}/rotate": ("Cache-Control",),
    "POST /v1/webhooks/{webhook_id}/test": _MADE,
    "POST /v1/webhooks/{webhook_id}/messages/{message_id}/resend": _MADE,
    "POST /v1/uploads": (*_MADE, *_TUS),
    "GET /v1/uploads/{upload_id}": _TUS,
    "PATCH /v1/uploads/{upload_id}": _TUS,
    "DELETE /v1/uploads/{upload_id}": ("Tus-Resumable",),
    "GET /v1/jobs/{job_id}": _VERSION,
    "GET /v1/sweeps/{sweep_id}": (*_VERSION, "Vary"),
    "GET /v1/jobs/{job_id}/events": ("Vary",),
    "GET /v1/jobs/{job_id}/archive": (*_VERSION, "Accept-Ranges", "Content-Disposition"),
    "GET /v1/jobs/{job_id}/artifacts/{name}": _FILE,
    "GET /hf/{namespace}/{repository}/resolve/{revision}/{path}": _HUB_FILE,
    "GET /hf/datasets/{namespace}/{repository}/resolve/{revision}/{path}": _HUB_FILE,
}

#: What a refusal says besides.
_OF_STATUS: Mapping[str, tuple[str, ...]] = {"416": ("Content-Range",), "503": ("Retry-After",)}

#: Of requests: what it says. They are read where FastAPI does not look, by `api.conditional`.
_IF_NONE_MATCH = {"If-None-Match": "ETags that the client has: 304 where one of them is this version's."}
_RANGES = {
    "Range": "The part of the file to send, or several: `bytes=0-1023`.",
    "If-Range": "The ETag of the version that `Range` is about; of another, the whole file is sent.",
}


def headers_of(*names: str, optional: tuple[str, ...] = ()) -> Fragment:
    """The `headers` of a response that always says some, and every answer's id; `optional` ones it may say."""
    return {name: _header(name, required=name not in optional) for name in ("X-Request-ID", *names, *optional)}


def add_headers(name: str, operation: Fragment) -> None:
    """Say what an operation's answers tell in headers, and which headers its requests may have."""
    says = _OF.get(name, ())
    limited = LIMITED if operation.get("security") else ()
    parameters: list[Fragment] = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["name"] == "Tus-Resumable":  # optional to FastAPI, so that without it the answer is tus' own 412
            parameter.update({"required": True, "schema": {"const": "1.0.0"}})
    responses: Fragment = operation["responses"]
    [success, *others] = [status for status, response in responses.items() if status < "3" or "content" in response]
    responses[success]["headers"] = headers_of(*says, optional=limited)
    for status in others:
        responses[status]["headers"] = headers_of(*_OF_STATUS.get(status, ()), optional=limited)
    if "ETag" in says:
        parameters += _parameters(_IF_NONE_MATCH)
        # 304 tells what 200 would, for caches to renew (RFC 9110, 15.4.5).
        responses["304"] = {"description": "Not Modified", "headers": headers_of(*says, optional=limited)}
    if "Accept-Ranges" in says:
        parameters += _parameters(_RANGES)
        part = headers_of(*says, optional=(*limited, "Content-Range"))  # of several ranges each part says its own
        responses["206"] = {"description": "Partial Content", "headers": part, "content": responses[success]["content"]}
    if not parameters:
        del operation["parameters"]


def _header(name: str, *, required: bool) -> Fragment:
    description, schema, example = _ANSWERS[name]
    return {"description": description, "required": required, "schema": schema, "example": example}


def _parameters(headers: Mapping[str, str]) -> list[Fragment]:
    return [
        {"name": name, "in": "header", "required": False, "description": description, "schema": _TEXT}
        for name, description in headers.items()
    ]
