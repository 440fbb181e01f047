"""The registry of pruning methods: one class in one file each, one line here."""

from pruning_core.methods.base import Method, MethodParameters
from pruning_core.methods.fisher import Fisher
from pruning_core.methods.head import HeadImportance
from pruning_core.methods.l0 import L0
from pruning_core.methods.layerdrop import LayerDrop
from pruning_core.methods.magnitude import Magnitude
from pruning_core.methods.movement import Movement
from pruning_core.methods.obd import OptimalBrainDamage
from pruning_core.methods.obs import OptimalBrainSurgeon
from pruning_core.methods.platon import Platon
from pruning_core.methods.rewind import Rewind
from pruning_core.methods.rpp import ReweightedProximal
from pruning_core.methods.soft_movement import SoftMovement
from pruning_core.methods.taylor import Taylor
from pruning_core.methods.wanda import Wanda

METHODS: dict[str, type[Method]] = {
    "movement": Movement,
    "soft_movement": SoftMovement,
    "magnitude": Magnitude,
    "l0": L0,
    "taylor": Taylor,
    "fisher": Fisher,
    "obd": OptimalBrainDamage,
    "obs": OptimalBrainSurgeon,
    "platon": Platon,
    "rpp": ReweightedProximal,
    "rewind": Rewind,
    "wanda": Wanda,
    "head": HeadImportance,
    "layerdrop": LayerDrop,
}

__all__ = ["METHODS", "Method", "MethodParameters"]
