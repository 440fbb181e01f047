"""See the package."""


class ExportMismatch(Exception): ...
