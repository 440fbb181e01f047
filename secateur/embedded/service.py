"""`EmbeddedService`: a whole Secateur service on this machine, for as long as somebody holds it."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from secateur.address import default_data_dir
from secateur.embedded import broker, requirements
from secateur.embedded.child import Child, Program, run_once
from secateur.embedded.data_dir import DataDir
from secateur.embedded.listener import listen, url_of
from secateur.embedded.programs import Parts
from secateur.embedded.readiness import Readiness
from secateur.embedded.supervisor import LOOK_S, Supervisor
from secateur.errors import EmbeddedError

log = logging.getLogger(__name__)

# Torch-free processes are up in two or three seconds; a busy, small machine may need many more.
BROKER_START_S = 15.0
SERVICE_START_S = 120.0


class ServiceEntry(TypedDict):
    """What `service.json` tells about a running service."""

    url: str
    pid: int
    data_dir: str
    key_file: str
    started_at: str


class _StopAsked(Exception):
    """Somebody asked for a stop while the service was still starting."""


class EmbeddedService:
    """API, worker, reconciler and broker as processes of this one, all data in one directory.

    ```python
    with EmbeddedService(Path("data"), port=0) as service, Client(service.url, service.key) as client:
        …
    ```

    Dead processes are restarted. On Linux none outlives this process, even if it is killed.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        notice: Callable[[str], None] = log.warning,
    ) -> None:
        """Describe the service; nothing is started yet.

        Args:
            data_dir: Where everything is kept; else `SECATEUR_DATA_DIR`, else `~/.secateur`.
            host: The address to listen on.
            port: The port to listen on; 0 takes a free one.
            workers: How many jobs may run at once.
            notice: Told a sentence when a process had to be restarted or killed.
        """
        if workers < 1:
            raise EmbeddedError(f"workers is {workers}: at least 1 is needed to run jobs.")
        self._files = DataDir(Path(data_dir) if data_dir is not None else default_data_dir())
        self._host = host
        self._port = port
        self._workers = workers
        self._entry: ServiceEntry | None = None
        self._stop = threading.Event()
        self._kill = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._keeper: threading.Thread | None = None
        self._supervisor = Supervisor(notice, self._kill)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def entry(self) -> ServiceEntry:
        """Where the service and its files are."""
        if self._entry is None:
            raise EmbeddedError("The embedded service was not started; call start(), or use it in a `with` block.")
        return self._entry

    @property
    def url(self) -> str:
        """The service's address."""
        return self.entry["url"]

    @property
    def key(self) -> str:
        """The admin key."""
        return self._files.read_key()

    @property
    def ready(self) -> bool:
        """Whether the service takes requests."""
        return self._ready.is_set() and not self._ended.is_set()

    @property
    def killed(self) -> bool:
        """Whether it was stopped without waiting."""
        return self._kill.is_set()

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the service's processes, by name."""
        return self._supervisor.pids

    def start(self) -> None:
        """Start everything and return when the service is ready, or when a stop was asked for.

        Raises:
            EmbeddedError: It cannot start; nothing of it is left running.
        """
        if self._keeper is not None:
            raise EmbeddedError("This EmbeddedService was started before; make a new one to start it again.")
        requirements.check()
        # One thread starts every process: the kernel ends them with the very thread that started them.
        self._keeper = threading.Thread(target=self._keep, name="secateur-embedded", daemon=True)
        self._keeper.start()
        atexit.register(self.stop)
        try:
            while not (self._ready.is_set() or self._ended.is_set()):
                self._ready.wait(LOOK_S)
        except BaseException:
            self.stop()
            raise
        self._raise_failure()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the service has ended, and say whether it has.

        Raises:
            EmbeddedError: It could not go on.
        """
        ended = self._ended.wait(timeout)
        self._raise_failure()
        return ended

    def ask_to_stop(self) -> None:
        """Begin an orderly stop and return at once; safe in a signal handler."""
        self._stop.set()

    def kill(self) -> None:
        """Stop without waiting for anybody; safe in a signal handler."""
        self._kill.set()
        self._stop.set()

    def stop(self) -> None:
        """Stop in order: API, worker, reconciler, broker. An interrupt meanwhile kills what is left."""
        atexit.unregister(self.stop)
        self.ask_to_stop()
        try:
            if self._keeper is not None:
                self._keeper.join()
        except KeyboardInterrupt:
            self.kill()
            raise

    # ── The keeper's thread ──────────────────────────────────────────────────

    def _keep(self) -> None:
        try:
            with ExitStack() as stack:
                self._start_in(stack)
                self._ready.set()
                while not self._stop.wait(LOOK_S):
                    self._supervisor.tend()
        except _StopAsked:
            pass
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread, by start() or wait())
            self._error = error
        finally:
            self._ended.set()

    def _start_in(self, stack: ExitStack) -> None:
        """Start everything; whatever the stack holds is undone in reverse when the service ends."""
        files = self._files
        stack.enter_context(files.claimed())
        files.withdraw()  # of a service that was killed
        files.see_to_secret()
        listener = stack.enter_context(listen(self._host, self._port))
        sockets = stack.enter_context(broker.socket_directory(files.path))
        parts = Parts(files, broker.url(sockets))
        stack.callback(self._supervisor.stop_all)

        self._begin(parts.broker(broker.command(sockets)))
        self._until(lambda: broker.answers(sockets), BROKER_START_S, "The broker does not answer")
        run_once(parts.migrate(), files.path, files.log("migrate"))
        run_once(parts.first_key(), files.path, files.log("migrate"))
        self._begin(parts.api(listener.fileno()))
        for number in range(1, self._workers + 1):
            self._begin(parts.worker(number, self._workers))
        self._begin(parts.reconciler())
        url = url_of(listener)
        readiness = Readiness(url)
        self._until(readiness.is_yes, SERVICE_START_S, "The service does not become ready", readiness.last)
        stack.callback(files.withdraw)
        self._entry = {
            "url": url,
            "pid": os.getpid(),
            "data_dir": str(files.path),
            "key_file": str(files.key_file),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        files.announce(self._entry)

    def _begin(self, program: Program) -> None:
        self._supervisor.start(Child(program, self._files.path, self._files.log(program.name)))

    def _until(
        self, answers: Callable[[], bool], patience_s: float, complaint: str, detail: Callable[[], str] = str
    ) -> None:
        deadline = time.monotonic() + patience_s
        while not answers():
            if self._stop.wait(LOOK_S):
                raise _StopAsked
            self._supervisor.insist()
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{complaint} within {patience_s:g} s.{detail()} The logs are in {self._files.logs}."
                )

    def _raise_failure(self) -> None:
        if self._error is not None and self._ended.is_set():
            raise self._error
