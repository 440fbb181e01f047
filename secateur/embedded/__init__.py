"""The embedded service: `secateur up`, and `EmbeddedService` for programs. POSIX only; needs `secateur[all]`."""

from secateur.embedded.service import EmbeddedService, ServiceEntry

__all__ = ["EmbeddedService", "ServiceEntry"]
