"""Finds the model and the dataset of a spec, among the team's own."""

import re
from collections.abc import Callable
from typing import Literal, TypeVar

from api.jobs.findings import Findings
from api.jobs.spec import JobSpec
from store import Dataset, Model, NotFound, ReadSession, get_dataset, get_model

Found = TypeVar("Found", Dataset, Model)

_PREFIXES = {"model": "mdl", "dataset": "ds"}

_UPLOAD = re.compile(r"upload://((mdl|ds)_[0-9a-f]{32})")
_BARE_ID = re.compile(r"(mdl|ds)_[0-9a-f]{32}")


def find_inputs(
    session: ReadSession, team_id: str, spec: JobSpec, findings: Findings
) -> tuple[Model | None, Dataset | None]:
    """The uploads that a spec names; what cannot be found is noted."""
    return (
        _find("model", spec.model, lambda id_: get_model(session, team_id, id_), findings),
        _find("dataset", spec.dataset, lambda id_: get_dataset(session, team_id, id_), findings),
    )


def find_teacher(session: ReadSession, team_id: str, spec: JobSpec, findings: Findings) -> Model | None:
    """The uploaded model that a spec distils from; None where it names none, or one that cannot be found."""
    if spec.distillation is None or spec.distillation.teacher == "self":
        return None
    return _find(
        "model",
        spec.distillation.teacher,
        lambda id_: get_model(session, team_id, id_),
        findings,
        ("distillation", "teacher"),
    )


def _find(
    field: Literal["model", "dataset"],
    uri: str,
    get: Callable[[str], Found],
    findings: Findings,
    path: tuple[str, ...] = (),
) -> Found | None:
    path = path or (field,)
    if not findings.sound(path[0]):
        return None
    name = ".".join(path)
    prefix = _PREFIXES[field]
    route = f"POST /v1/{field}s"
    named = _UPLOAD.fullmatch(uri)
    if named is None:
        if _BARE_ID.fullmatch(uri):
            remedy = f"write upload://{uri}"
        elif uri.startswith("upload://"):
            remedy = f"an upload is named upload://{prefix}_… with the id that {route} answered"
        else:
            source = "file:// paths are" if uri.startswith("file://") else "Hugging Face Hub names are"
            remedy = f"{source} not available in this version; upload it with {route} and use upload://{prefix}_…"
        findings.wrong(path, f"{name} {uri[:100]!r}: {remedy}.")
        return None
    id_, kind = named.groups()
    if kind != prefix:
        findings.wrong(path, f"{name}: {id_} is a {'model' if kind == 'mdl' else 'dataset'}, not a {field}.")
        return None
    try:
        return get(id_)
    except NotFound:
        findings.wrong(path, f"There is no {field} {id_} in your team. GET /v1/{field}s lists what there is.")
        return None
