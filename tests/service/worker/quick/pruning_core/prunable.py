"""See the package."""


class NothingToPrune(Exception): ...
