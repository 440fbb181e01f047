"""What the trainer asks of it."""


def set_verbosity(level: int) -> None: ...
