"""Finds the model, the dataset and the webhook of a spec, among the team's own."""

from collections.abc import Callable
from typing import TypeVar

from api.jobs.findings import Findings
from api.jobs.shelf import Reading, Shelf
from api.jobs.spec import JobSpec
from api.sources.fetches import Fetched
from api.sources.uris import BadUri, Kind, Upload, parse
from store import Dataset, Model, NotFound, get_model, has_webhook

Found = TypeVar("Found", Dataset, Model)


def find_inputs(
    reading: Reading, team_id: str, spec: JobSpec, fetched: Fetched, findings: Findings, *, shelf: Shelf
) -> tuple[Model | None, Dataset | None]:
    """The model and the dataset that a spec names; what cannot be found is noted."""

    def model(id_: str) -> Model:
        return shelf.model(reading, team_id, id_)

    def dataset(id_: str) -> Dataset:
        return shelf.dataset(reading, team_id, id_)

    return (
        _find(Kind.MODEL, spec.model, model, fetched, findings=findings),
        _find(Kind.DATASET, spec.dataset, dataset, fetched, findings=findings),
    )


def find_teacher(reading: Reading, team_id: str, spec: JobSpec, fetched: Fetched, findings: Findings) -> Model | None:
    """The model that a spec distils from; None where it names none but its own, or one that cannot be found.

    No column of a job refers to its teacher, so it is looked for each time.
    """
    if spec.distillation is None or spec.distillation.teacher == "self":
        return None

    def model(id_: str) -> Model:
        return get_model(reading(), team_id, id_)

    return _find(
        Kind.MODEL, spec.distillation.teacher, model, fetched, findings=findings, path=("distillation", "teacher")
    )


def find_webhook(reading: Reading, team_id: str, spec: JobSpec, findings: Findings) -> None:
    """Note it if a spec names a webhook that the team does not have: who gets messages must know what signs them."""
    if spec.webhook is not None and not has_webhook(reading(), team_id, spec.webhook):
        findings.wrong(
            ("webhook",),
            "webhook: your team has none of this URL. Create it first (POST /v1/webhooks), with `only_named` if it "
            "shall hear of named jobs alone; GET /v1/webhooks lists what there is.",
        )


def _find(
    kind: Kind,
    uri: str,
    get: Callable[[str], Found],
    fetched: Fetched,
    *,
    findings: Findings,
    path: tuple[str, ...] = (),
) -> Found | None:
    path = path or (kind,)
    if not findings.sound(path[0]):
        return None
    named = f"{'.'.join(path)} {uri[:100]!r}"
    try:
        source = parse(kind, uri)
    except BadUri as error:
        findings.wrong(path, f"{named}: {error}.")
        return None
    if isinstance(source, Upload):
        id_ = source.id
    elif stored := fetched.stored.get((kind, uri)):
        id_ = stored.id
    elif why := fetched.refused.get((kind, uri)):
        findings.wrong(path, f"{named}: {why}")
        return None
    else:
        if not findings.errors:  # else nobody has tried to have it: the spec is refused anyway
            findings.wrong(path, f"{named} is not in the store. POST /v1/jobs:validate takes it in; then try again.")
        return None
    try:
        return get(id_)
    except NotFound:
        findings.wrong(path, f"There is no {kind} {id_} in your team. GET /v1/{kind}s lists what there is.")
        return None
