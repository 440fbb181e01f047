"""See the package."""


class DataError(Exception): ...
