"""See the package."""


class Diverged(Exception): ...
