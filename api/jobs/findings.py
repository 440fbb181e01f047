"""What the checks of a submission find: problems to refuse it for, and advice to give with it."""

from collections.abc import Iterable

from api.problems import FieldError, pointer


class Findings:
    """Collects, so that one answer names everything.

    A check that rests on a field which is wrong itself would only puzzle: it asks `sound` first.
    """

    def __init__(self, errors: Iterable[FieldError] = ()) -> None:
        self.errors = list(errors)
        self.warnings: list[str] = []

    def wrong(self, path: tuple[str, ...], detail: str) -> None:
        """Note a problem with a field."""
        self.errors.append(FieldError(pointer(*path), detail))

    def add(self, other: "Findings") -> None:
        """Note all that others found."""
        self.errors += other.errors
        self.warnings += other.warnings

    def advise(self, warning: str) -> None:
        """Note advice."""
        self.warnings.append(warning)

    def sound(self, *names: str) -> bool:
        """Whether nothing wrong is known of the fields so named at the top of the spec, nor of anything in them."""
        tops = {error.pointer.split("/")[1] for error in self.errors if error.pointer}
        return not tops & set(names)
