"""Which runs the quality bench has, in which order, and with which settings. Tune here."""

from collections.abc import Mapping
from dataclasses import dataclass

from pruning_core.spec import PruningSpec

Overrides = Mapping[str, object]
"""Field of the spec, dotted, → value. `start` is none of the spec's: `pretrained`, or `dense` to prune a model that has
learnt the task already, the dense model of the same seed."""

# ── Settings ─────────────────────────────────────────────────────────────────
# Later ones win: COMMON, DATA, RECIPES, then DISTILLED and DISTILLED_RECIPES for runs with a teacher, then what is
# being tuned. Every field that is not named here is the library's default.

COMMON: Overrides = {
    "start": "pretrained",
    "training.epochs": 5.0,
    "training.max_length": 64,
    "training.dense_baseline": False,
}

DATA: dict[str, Overrides] = {
    "reviews": {"task": {"text": "text", "label": "label"}},
    "snli": {
        "task": {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        "training.dense_baseline": True,
    },
    "qamr": {
        "task": {"type": "question-answering"},
        "training.max_length": 96,
        "training.dense_baseline": True,
    },
}

RECIPES: dict[str, Overrides] = {
    "dense": {"training.dense_baseline": True},
    "magnitude": {},
    "movement": {},
    "soft_movement": {},
    "l0": {},
    "frozen": {"pruning.freeze_weights": True},
    "taylor": {},
}

#: On rows kept for tuning, with seed 1, movement at 10 and 3 % density ends at 82.7 and 80.1 % with hidden states at
#: a weight of 100, at 81.4 and 80.1 at a weight of 10, and at 81.7 and 80.1 with the teacher's answers alone.
DISTILLED: Overrides = {"training.epochs": 8.0, "distillation.hidden": 100.0}
DISTILLED_RECIPES: dict[str, Overrides] = {}

#: Tried by `--tune METHOD`; the best at both densities goes to RECIPES.
TUNED: dict[str, dict[str, tuple[object, ...]]] = {
    "dense": {"training.dense_learning_rate": (5e-5, 1e-4, 2e-4)},
    "magnitude": {"training.learning_rate": (1e-4, 2e-4, 4e-4)},
    "movement": {"training.learning_rate": (1e-4, 4e-4), "training.score_learning_rate": (2e-4, 1e-3)},
}

#: A row's name → the library's method, where they differ.
METHODS = {"frozen": "movement"}

# ── Runs ─────────────────────────────────────────────────────────────────────

DENSITIES = (0.5, 0.1, 0.03)
#: The densities that something is claimed about.
CLAIMED = (0.03, 0.1)
COMPARED = ("movement", "magnitude")
OTHERS = ("soft_movement", "l0", "frozen", "taylor")
#: Those whose distilled runs have several seeds, too.
DISTILLED_COMPARED = ("movement", "l0", "taylor")


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        method: a row of the table: `dense` or a key of `RECIPES`.
        density: kept share; 1 for dense.
        seed: of weights, order and masks; the split of the data has its own.
        distilled: with the dense model of the same seed as teacher.
        data: a key of `DATA`.
        tuning: settings on trial, which keep the run out of the table.
    """

    method: str
    density: float = 1.0
    seed: int = 1
    distilled: bool = False
    data: str = "reviews"
    tuning: tuple[tuple[str, object], ...] = ()

    @property
    def name(self) -> str:
        """What its file is called."""
        parts = [self.method]
        if self.method != "dense":
            parts.append(f"{100 * self.density:g}")
        if self.distilled:
            parts.append("distilled")
        if self.data != "reviews":
            parts.append(self.data)
        parts.append(f"seed{self.seed}")
        parts += [f"{field.rpartition('.')[2]}={value}" for field, value in self.tuning]
        return "-".join(parts)

    def dense(self) -> "Run":
        """The dense run of the same seed: the teacher."""
        return Run("dense", seed=self.seed)

    def overrides(self) -> dict[str, object]:
        """All settings that differ from the library's."""
        merged: dict[str, object] = {**COMMON, **DATA[self.data], **RECIPES[self.method]}
        if self.distilled:
            merged |= {**DISTILLED, **DISTILLED_RECIPES.get(self.method, {})}
            # A name that is the same on every machine; `prune` is told where the directory is.
            merged["distillation.teacher"] = self.dense().name
        return merged | dict(self.tuning)

    @property
    def start(self) -> str:
        """Which model is pruned."""
        return str(self.overrides()["start"])

    def spec(self) -> PruningSpec:
        """The run's spec. A dense run's training settings are all of it that counts."""
        fields: dict[str, object] = {
            "method": "magnitude" if self.method == "dense" else METHODS.get(self.method, self.method),
            # Rounded: 1 - 0.03 is 0.97, not 0.970000001.
            "target_sparsity": 0.5 if self.method == "dense" else round(1.0 - self.density, 6),
        }
        settings = self.overrides() | {"training.seed": self.seed}
        del settings["start"]
        for field, value in settings.items():
            _put(fields, field, value)
        return PruningSpec.model_validate(fields)


def _put(fields: dict[str, object], dotted: str, value: object) -> None:
    """Set a nested field."""
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = fields.setdefault(parent, {})
        assert isinstance(inner, dict)
        fields = inner
    fields[last] = value


def all_runs(seeds: int = 3) -> list[Run]:
    """Every run once; what is required first, so that a bench stopped early is still of use.

    Args:
        seeds: of the dense model, and of the compared methods, plain and distilled, at the claimed densities.
    """
    further = range(2, seeds + 1)
    runs = [Run("dense", seed=seed) for seed in (1, *further)]
    runs += [Run(method, density) for density in CLAIMED for method in COMPARED]
    others = [method for method in (*COMPARED, *OTHERS) if method not in DISTILLED_COMPARED]
    runs += [Run(method, density, distilled=True) for method in (*DISTILLED_COMPARED, *others) for density in CLAIMED]
    runs += [Run(method, density) for density in CLAIMED for method in OTHERS]
    runs += [Run(method, 0.5) for method in (*COMPARED, *OTHERS)]
    runs += [Run(method, 0.5, distilled=True) for method in DISTILLED_COMPARED]
    runs += [Run("movement", 0.1, data=data) for data in ("snli", "qamr")]
    for seed in further:
        runs += [Run(method, density, seed) for density in CLAIMED for method in COMPARED]
        runs += [Run(method, density, seed, distilled=True) for density in CLAIMED for method in DISTILLED_COMPARED]
    return runs


def tuning_runs(method: str) -> list[Run]:
    """The trials that a method's settings were chosen from."""
    return [
        Run(method, density, tuning=((field, value),))
        for field, values in TUNED[method].items()
        for value in values
        for density in ((1.0,) if method == "dense" else CLAIMED)
    ]
