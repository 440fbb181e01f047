"""See the package."""


class Diverged(Exception): ...


OnProgress = object
