"""Takes models and datasets in from where a spec names them: the same checks as an upload, and the same store.

So what a job reads is fixed when it is submitted, by commit or by sha256, and a worker needs neither hub nor folder.
"""

from pathlib import Path

from sqlalchemy.exc import IntegrityError

from api.datasets import service as datasets
from api.dependencies import Services
from api.manifest import digest_of
from api.models import service as models
from api.models.configuration import BadConfiguration, read_configuration
from api.multipart import MAX_NAME, Form
from api.pieces import pieces
from api.problems import Invalid
from api.sources.choice import folder_splits, model_files, split_files
from api.sources.copies import Copies
from api.sources.hub import Hub, Listing
from api.sources.problems import SourceRefused
from api.sources.roots import Below, roots_of
from api.sources.uris import External, FileSource, HubSource, Kind
from store import Dataset, Model, Principal, dataset_of_source, model_of_source

_CONFIG = "config.json"
_README = "README.md"
#: What people write by hand is not longer.
_LARGEST_WRITTEN = 4 << 20


def take_in(here: Services, caller: Principal, kind: Kind, source: External) -> Model | Dataset:
    """Bring a source into the team's store, unless it is there.

    Raises:
        SourceRefused: It is not there, not allowed, or not what a job can use.
        Unavailable: The hub does not answer.
    """
    return (
        _from_hub(here, caller, kind, source)
        if isinstance(source, HubSource)
        else _from_file(here, caller, kind, source)
    )


def _from_hub(here: Services, caller: Principal, kind: Kind, source: HubSource) -> Model | Dataset:
    hub = Hub(here.settings, kind)
    hub.require_allowed(source)
    if known := _known(here, caller, kind, str(source)):  # named by its commit
        return known
    listing = hub.look(source)
    source = listing.source
    if known := _known(here, caller, kind, str(source)):
        return known
    if kind is Kind.MODEL:
        names = model_files(listing.sizes)
        if _CONFIG in names:
            _require_small(listing, _CONFIG)
            _require_supported(hub.fetch(source, _CONFIG))
        fields = dict.fromkeys(names, "files")
    else:
        card = None
        if _README in listing.sizes:
            _require_small(listing, _README)
            card = hub.card(source, _README)
        splits = split_files(listing.sizes, card, source.config)
        fields = {name: split for split, names in splits.items() for name in names}
    with _copies(here, kind) as copies:
        copies.require_room(listing.sizes[name] for name in fields)
        for name, field in fields.items():
            with hub.fetch(source, name).open("rb") as file:
                copies.add(field, name, pieces(file))
        return _store(here, caller, kind, _form(kind, copies, source.repository), source)


def _from_file(here: Services, caller: Principal, kind: Kind, source: FileSource) -> Model | Dataset:
    if source.sha256 is not None and (known := _known(here, caller, kind, str(source))):
        return known  # whatever has become of the folder
    below = Below(roots_of(here.settings), source.path)
    if below.is_folder():
        names = below.names()
        if kind is Kind.MODEL:
            fields = dict.fromkeys(model_files(names), "files")
        else:
            fields = {name: split for split, files in folder_splits(names).items() for name in files}
        contents = {name: below.read(name) for name in fields}
    elif kind is Kind.MODEL:
        raise SourceRefused("it is a file. Name the folder that model.save_pretrained wrote.")
    else:
        fields = {below.path.name: "train"}
        contents = {below.path.name: below.read()}
    with _copies(here, kind) as copies:
        for name, field in fields.items():
            copies.add(field, name, contents[name])
        sha256 = digest_of(copies.digests)
        if source.sha256 not in (None, sha256):
            raise SourceRefused(
                f"it has changed: its sha256 is {sha256} now. Leave what follows # out to take it as it is."
            )
        source = source.of(sha256)
        form = _form(kind, copies, source.path)
        return _known(here, caller, kind, str(source)) or _store(here, caller, kind, form, source)


def _copies(here: Services, kind: Kind) -> Copies:
    if kind is Kind.MODEL:
        return Copies(here.settings.max_model_bytes, "SECATEUR_MAX_MODEL_BYTES")
    return Copies(here.settings.max_dataset_bytes, "SECATEUR_MAX_DATASET_BYTES")


def _require_small(listing: Listing, name: str) -> None:
    """Refuse what nobody wrote by hand before it has come: it is read whole, and anyone may put anything on the hub."""
    if listing.sizes[name] > _LARGEST_WRITTEN:
        raise SourceRefused(
            f"its {name} is larger than {_LARGEST_WRITTEN:,} bytes. Download the files that are needed and upload them."
        )


def _require_supported(config: Path) -> None:
    """Refuse a model of a family that we cannot prune before gigabytes of it have come."""
    try:
        read_configuration(config.read_bytes())
    except BadConfiguration as error:
        raise SourceRefused(str(error)) from error


def _known(here: Services, caller: Principal, kind: Kind, source: str) -> Model | Dataset | None:
    with here.database.read() as session:
        if kind is Kind.MODEL:
            return model_of_source(session, caller.team_id, source)
        return dataset_of_source(session, caller.team_id, source)


def _form(kind: Kind, copies: Copies, name: str) -> Form:
    return Form(name[-MAX_NAME:], tuple(copies.parts), sharded=kind is Kind.DATASET)


def _store(here: Services, caller: Principal, kind: Kind, form: Form, source: External) -> Model | Dataset:
    try:
        if kind is Kind.MODEL:
            return models.take_in(here, caller, form, source=str(source))
        return datasets.take_in(here, caller, form, source=str(source))
    except Invalid as error:
        raise SourceRefused(" ".join(each.detail for each in error.errors)) from error
    except IntegrityError:  # another request has just taken in the same
        if known := _known(here, caller, kind, str(source)):
            return known
        raise
