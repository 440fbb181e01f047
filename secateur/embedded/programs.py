"""What the embedded service runs: each part's command line, environment and grace, the same as in production."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence

from secateur.address import KEY_VARIABLE, URL_VARIABLE
from secateur.embedded.child import Program
from secateur.embedded.data_dir import DataDir

# First the API takes no more jobs, then the workers put theirs down; the broker is the last to be missed.
API_TURN, WORK_TURN, BROKER_TURN = range(3)
# On top of the trainer's own grace (SECATEUR_STOP_GRACE_S): the worker notices, kills, and writes the attempt's end.
WORKER_MARGIN_S = 15.0
TRAINER_GRACE_S = 60.0  # that setting's default
# It ends when its messages to webhooks are answered, or SECATEUR_WEBHOOK_TIMEOUT_S is over.
RECONCILER_GRACE_S = 20.0


def available_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Parts:
    """The programs of one embedded service."""

    def __init__(self, files: DataDir, broker_url: str) -> None:
        self._files = files
        self._env = {name: value for name, value in os.environ.items() if name not in (URL_VARIABLE, KEY_VARIABLE)}
        self._env |= files.environment()
        self._env |= {
            "SECATEUR_BROKER_URL": broker_url,
            "SECATEUR_SCRATCH_DIR": str(files.scratch),
            "PYTHONUNBUFFERED": "1",
        }
        if path := os.environ.get("PYTHONPATH"):
            # The programs run in the data directory, where a relative entry would mean something else.
            self._env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in path.split(os.pathsep))  # noqa: PTH100

    def broker(self, command: Sequence[str]) -> Program:
        """The Valkey server."""
        return Program("broker", command, self._env, stop_turn=BROKER_TURN)

    def migrate(self) -> Program:
        """Bring the database to the present schema; ends by itself."""
        return self._python("migrate", "store.migrate")

    def first_key(self) -> Program:
        """See that the admin key's file holds a working key; ends by itself."""
        return self._python("first key", "store.first_key", "--team", "default", "--file", str(self._files.key_file))

    def api(self, listener: int) -> Program:
        """The HTTP service on a socket that already listens."""
        arguments = ["--factory", "--fd", str(listener), "--timeout-graceful-shutdown", "5"]
        arguments += ["--http", "api.protocol:BoundedProtocol"]
        # The API writes its own log of requests.
        return self._python(
            "API", "uvicorn", "api.app:create_app", "--no-access-log", *arguments, stop_turn=API_TURN, listener=listener
        )

    def worker(self, number: int, of: int) -> Program:
        """One worker, which runs one job at a time."""
        own = f"{socket.gethostname()}-{number}"
        return self._python(
            "worker" if of == 1 else f"worker {number}",
            "celery",
            *("-A", "worker.app", "worker", "-P", "prefork", "-c", "1", "-Q", "default", "-n", f"secateur@{own}"),
            grace_s=self._trainer_grace_s() + WORKER_MARGIN_S,
            stop_turn=WORK_TURN,
            env={} if of == 1 else {"SECATEUR_WORKER_NAME": own} | self._share_of_cores(of),
        )

    def reconciler(self) -> Program:
        """What finds lost jobs, wakes workers and sends to webhooks."""
        return self._python("reconciler", "worker.reconciler", grace_s=RECONCILER_GRACE_S, stop_turn=WORK_TURN)

    def _share_of_cores(self, of: int) -> dict[str, str]:
        """Jobs that each compute on all cores wait for one another: two take longer so than one after the other."""
        if "OMP_NUM_THREADS" in self._env or "SECATEUR_WORKER_GPUS" in self._env:  # the operator has said who has what
            return {}
        return {"OMP_NUM_THREADS": str(max(1, available_cores() // of))}

    def _trainer_grace_s(self) -> float:
        try:
            return float(self._env["SECATEUR_STOP_GRACE_S"])
        except (KeyError, ValueError):  # not set, or not a number, which the worker refuses with its own words
            return TRAINER_GRACE_S

    def _python(
        self,
        name: str,
        module: str,
        *arguments: str,
        grace_s: float = 10.0,
        stop_turn: int = 0,
        listener: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        command = [sys.executable, "-m", module, *arguments]
        return Program(name, command, self._env | dict(env or {}), grace_s, stop_turn, listener)
