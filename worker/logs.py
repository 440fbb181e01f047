"""The logs of the processes around the trainer."""

from typing import TextIO, cast

import structlog

from store.output import BestEffort


def configure() -> None:
    """Write them to standard output as far as that works: a full disk must not end who takes jobs back."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast(TextIO, BestEffort("stdout"))))
