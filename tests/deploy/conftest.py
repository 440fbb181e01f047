"""A migrated database and a real broker for the commands that containers run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.valkey import new_server


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a container, its database and broker being on this machine; the database has its schema."""
    folder = tmp_path_factory.mktemp("service")
    with new_server() as broker:
        variables = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOSTNAME": "container",
            "SECATEUR_DATABASE_URL": f"sqlite:///{folder}/secateur.db",
            "SECATEUR_BROKER_URL": f"redis://{broker.host}:{broker.port}/0",
            "SECATEUR_SCRATCH_DIR": str(folder / "scratch"),
        }
        subprocess.run([sys.executable, "-m", "store.migrate"], env=variables, check=True, timeout=60)
        yield variables
