"""Everything that is done to the stage, by name."""

from tests.chaos.faults.fault import Fault, Hit
from tests.chaos.faults.processes import PROCESSES
from tests.chaos.faults.servers import SERVERS
from tests.chaos.faults.surroundings import SURROUNDINGS

FAULTS: tuple[Fault, ...] = (*PROCESSES, *SERVERS, *SURROUNDINGS)

__all__ = ["FAULTS", "Fault", "Hit"]
