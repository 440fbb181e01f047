"""Processes killed and stopped: trainer, supervisor, worker, host, API, reconciler."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.chaos.faults.fault import Fault, Hit
from tests.chaos.stage import RECONCILERS, WORKERS, Stage
from tests.service.worker.running import until

#: Some stops are shorter than a lease and some longer: then the job is another's when the process goes on.
_SHORTEST_STOP_S, _LONGEST_STOP_S = 0.5, 9.0


def _stop_s(chance: random.Random) -> float:
    return chance.uniform(_SHORTEST_STOP_S, _LONGEST_STOP_S)


def _on_a_trainer(act: Callable[[Stage, psutil.Process, random.Random], None]) -> Callable[[Stage, random.Random], Hit]:
    """A fault that needs a training process: it picks one, and tries another if that has just ended."""

    def inject(stage: Stage, chance: random.Random) -> Hit:
        while True:
            until(stage.trainers, 90)
            trainer = chance.choice(stage.trainers())
            try:
                job_id = Path(trainer.cmdline()[-1]).parent.name.rpartition("-")[0]
                act(stage, trainer, chance)
            except (psutil.NoSuchProcess, LookupError):
                continue
            return Hit(frozenset({job_id}))

    return inject


def _kill_trainer(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    trainer.kill()


def _stop_trainer(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    _stop(trainer, _stop_s(chance))


def _kill_supervisor(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    _supervisor_of(trainer).kill()


def _stop_supervisor(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    _stop(_supervisor_of(trainer), _stop_s(chance))


def _kill_worker(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    stage.kill(stage.worker_of(trainer))


def _stop_worker(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    stage.pause((stage.worker_of(trainer),), _stop_s(chance))


def _suspend_host(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    stage.pause((stage.worker_of(trainer),), _stop_s(chance), whole_tree=True)


def _race_reconcilers(stage: Stage, trainer: psutil.Process, chance: random.Random) -> None:
    """Let a lease lapse while both reconcilers stand still: going on together, both find it."""
    supervisor = _supervisor_of(trainer)
    for name in RECONCILERS:
        stage.pause((name,), 0)
    supervisor.kill()
    stage.pause(RECONCILERS, 5.0)


def _kill_both_workers(stage: Stage, chance: random.Random) -> Hit:
    for name in WORKERS:
        stage.kill(name)
    return Hit()


def _kill_api(stage: Stage, chance: random.Random) -> Hit:
    stage.kill("api")
    return Hit()


def _stop_api(stage: Stage, chance: random.Random) -> Hit:
    stage.pause(("api",), _stop_s(chance))
    return Hit()


def _kill_reconciler(stage: Stage, chance: random.Random) -> Hit:
    stage.kill(chance.choice(RECONCILERS))
    return Hit()


def _stop(process: psutil.Process, seconds: float) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    if process.is_running():  # whoever owns it may have killed it meanwhile
        process.send_signal(signal.SIGCONT)


def _supervisor_of(trainer: psutil.Process) -> psutil.Process:
    supervisor = trainer.parent()
    if supervisor is None or "celery" not in " ".join(supervisor.cmdline()):
        raise LookupError(f"Process {trainer.pid} has lost its supervisor.")
    return supervisor


PROCESSES = (
    Fault("trainer killed", _on_a_trainer(_kill_trainer), harsh=True),
    Fault("trainer stopped", _on_a_trainer(_stop_trainer)),
    Fault("supervisor killed", _on_a_trainer(_kill_supervisor), harsh=True),
    Fault("supervisor stopped", _on_a_trainer(_stop_supervisor), harsh=True),
    Fault("worker killed", _on_a_trainer(_kill_worker), harsh=True),
    Fault("worker stopped", _on_a_trainer(_stop_worker)),
    Fault("worker's host suspended", _on_a_trainer(_suspend_host), harsh=True),
    Fault("both workers killed", _kill_both_workers, harsh=True),
    Fault("api killed", _kill_api, affected="api"),
    Fault("api stopped", _stop_api, affected="api"),
    Fault("reconciler killed", _kill_reconciler),
    Fault("two reconcilers race", _on_a_trainer(_race_reconcilers), harsh=True),
)
