"""Secateur: prune transformers through a service. `Client` talks to it, `EmbeddedService` runs one here."""

from secateur.client import Client
from secateur.embedded import EmbeddedService
from secateur.errors import (
    AccessRefused,
    ApiProblem,
    BrokenDownload,
    BrokenUpload,
    Conflict,
    EmbeddedError,
    FieldError,
    Invalid,
    LocalFileError,
    NotConfigured,
    NotFound,
    SecateurError,
    ServiceUnavailable,
    ServiceUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
)
from secateur.version import __version__

__all__ = [
    "AccessRefused",
    "ApiProblem",
    "BrokenDownload",
    "BrokenUpload",
    "Client",
    "Conflict",
    "EmbeddedError",
    "EmbeddedService",
    "FieldError",
    "Invalid",
    "LocalFileError",
    "NotConfigured",
    "NotFound",
    "SecateurError",
    "ServiceUnavailable",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "WaitTimeout",
    "__version__",
]
