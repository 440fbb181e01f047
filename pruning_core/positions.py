"""How long a text the model can read: as many tokens as it has positions for."""

import json
from pathlib import Path

from pruning_core.architectures import max_tokens, too_long
from pruning_core.loading import ModelError
from pruning_core.spec import PruningSpec


def within_positions(spec: PruningSpec, directory: Path) -> PruningSpec:
    """The spec with a `max_length` that the model has positions for; one that was left out is lowered to them.

    Raises:
        ModelError: the spec names more.
    """
    most = max_tokens(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    wanted = spec.training.max_length
    if most is None or wanted <= most:
        return spec
    if "max_length" in spec.training.model_fields_set:
        raise ModelError(too_long(wanted, most))
    return spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": most})})
