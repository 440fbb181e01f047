"""What a column may be called."""

from collections.abc import Sequence

from api.datasets.formats.malformed import Malformed

MAX_COLUMNS = 256
MAX_LENGTH = 128


def require_good_names(names: Sequence[str], *, line: int | None = None, hint: str = "") -> None:
    """Check a file's column names.

    Args:
        names: as in the file.
        line: where they stand.
        hint: a better explanation, where the caller has one.

    Raises:
        Malformed: One is blank, too long, not printable or there twice, or there are too many.
    """
    if hint:
        raise Malformed(hint, line=line)
    if not names:
        raise Malformed("no columns.", line=line)
    if len(names) > MAX_COLUMNS:
        raise Malformed(f"{len(names)} columns; {MAX_COLUMNS} is the limit. Upload only those that you use.", line=line)
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise Malformed(f"column {position} has no name. Give every column a name in the header.", line=line)
        if len(name) > MAX_LENGTH or not name.isprintable():
            raise Malformed(
                f"the name of column {position} is longer than {MAX_LENGTH} characters or not printable. "
                "Does the file start with a header?",
                line=line,
            )
    for name in names:
        if names.count(name) > 1:
            raise Malformed(f"column {name!r} is there twice. Rename one of them.", line=line)
