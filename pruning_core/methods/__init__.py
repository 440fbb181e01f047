"""The registry of pruning methods: one class in one file each, one line here."""

from pruning_core.methods.base import Method, MethodParameters
from pruning_core.methods.magnitude import Magnitude
from pruning_core.methods.movement import Movement

METHODS: dict[str, type[Method]] = {
    "movement": Movement,
    "magnitude": Magnitude,
}

__all__ = ["METHODS", "Method", "MethodParameters"]
