"""The paper's own runs: data sets, hyper-parameters, and the figures it reports (arXiv 2005.07683).

SQuAD's hyper-parameters are those of the released command lines (huggingface/transformers,
`examples/research_projects/movement-pruning/README.md`); epochs, batch sizes and MNLI's warm-up are the paper's, and
QQP's warm-up is MNLI's share of the steps. Three things to know when comparing:

* The paper speaks of Top_v over one matrix or over all. The released code ranks *within each matrix* (`TopKBinarizer`
  sees one matrix's scores), so magnitude and movement are `local` here; `--scope global` tries the other.
* There, λ is set by hand (400 for soft movement, 125 for L0, on SQuAD) and the density is whatever comes out. Here λ
  follows the schedule and the density is met exactly.
* Warm-up of the learning rate is a tenth of the steps here; there it is as long as the pruning warm-up.
"""

import math
from dataclasses import dataclass

from pruning_core.spec import PruningSpec

#: Paper's name → the library's method, parameters, rate of the scores, and cool-down as a multiple of the warm-up
#: (`--final_warmup`).
METHODS: dict[str, tuple[str, dict[str, str | float], float | None, int]] = {
    "MaP": ("magnitude", {}, None, 2),
    "L0": ("l0", {"score_init": "zeros"}, 1e-1, 1),
    "MvP": ("movement", {"score_init": "zeros", "score_penalty": 0.0}, 1e-2, 2),
    "SMvP": ("soft_movement", {"score_init": "zeros"}, 1e-2, 2),
}
#: Those that select the top v, within each matrix in the released code.
RANKED = ("MaP", "MvP")
DENSITIES = (0.1, 0.03)
LEARNING_RATE = 3e-5
DENSE_EPOCHS = 3.0
#: `--alpha_distil` and `--temperature` of the released code.
DISTILLATION = {"alpha": 0.5, "temperature": 2.0}


@dataclass(frozen=True)
class PaperTask:
    """A data set of the paper.

    Attributes:
        columns: of the hub's version.
        hub: repository and configuration on the hub.
        splits: to train on and to judge on, then further ones to judge on.
        items: to train on; SQuAD's are windows of 384 tokens, stride 128.
        metrics: what the paper's two figures are.
        dense: of the dense model.
    """

    columns: dict[str, str]
    hub: tuple[str, str | None]
    splits: tuple[str, ...]
    items: int
    batch_size: int
    epochs: float
    warmup_steps: int
    max_length: int
    metrics: tuple[str, str]
    dense: tuple[float, float]

    @property
    def steps(self) -> int:
        """Optimizer steps of a run."""
        return math.ceil(math.ceil(self.items / self.batch_size) * self.epochs)


TASKS = {
    "squad": PaperTask(
        columns={"type": "question-answering"},
        hub=("rajpurkar/squad", None),
        splits=("train", "validation"),
        items=88_524,
        batch_size=16,
        epochs=10.0,
        warmup_steps=5_400,
        max_length=384,
        metrics=("exact_match", "f1"),
        dense=(80.4, 88.1),
    ),
    "mnli": PaperTask(
        columns={"text": "premise", "text_pair": "hypothesis", "label": "label"},
        hub=("nyu-mll/glue", "mnli"),
        splits=("train", "validation_matched", "validation_mismatched"),
        items=392_702,
        batch_size=32,
        epochs=6.0,
        warmup_steps=12_000,
        max_length=128,
        metrics=("accuracy", "accuracy, mismatched"),
        dense=(84.5, 84.9),
    ),
    "qqp": PaperTask(
        columns={"text": "question1", "text_pair": "question2", "label": "label"},
        hub=("nyu-mll/glue", "qqp"),
        splits=("train", "validation"),
        items=363_846,
        batch_size=32,
        epochs=6.0,
        warmup_steps=11_000,  # MNLI's share of the steps
        max_length=128,
        metrics=("accuracy", "f1"),
        dense=(91.4, 88.4),
    ),
}

Pair = tuple[float, float]
#: Data set, density, distilled → MaP, L0, MvP, SMvP. QQP with distillation is from the released README.
FIGURES: dict[tuple[str, float, bool], tuple[Pair, Pair, Pair, Pair]] = {
    ("squad", 0.1, False): ((67.7, 78.5), (69.9, 80.0), (71.9, 81.7), (71.3, 81.5)),
    ("squad", 0.03, False): ((40.1, 54.5), (61.2, 73.3), (65.2, 76.3), (69.5, 79.9)),
    ("mnli", 0.1, False): ((77.8, 79.0), (77.9, 78.5), (79.3, 79.5), (80.7, 81.1)),
    ("mnli", 0.03, False): ((68.9, 69.8), (75.1, 75.4), (76.1, 76.7), (79.0, 79.6)),
    ("qqp", 0.1, False): ((78.8, 75.1), (87.5, 81.9), (89.1, 85.5), (90.5, 87.1)),
    ("qqp", 0.03, False): ((72.1, 58.4), (86.5, 81.0), (85.6, 81.0), (89.3, 85.6)),
    ("squad", 0.1, True): ((70.2, 80.1), (72.4, 81.9), (75.6, 84.3), (76.6, 84.9)),
    ("squad", 0.03, True): ((45.5, 59.6), (64.3, 75.8), (67.5, 78.0), (72.7, 82.3)),
    ("mnli", 0.1, True): ((78.3, 79.3), (78.7, 79.7), (80.1, 80.4), (81.2, 81.8)),
    ("mnli", 0.03, True): ((69.4, 70.6), (76.0, 76.2), (76.5, 77.4), (79.5, 80.1)),
    ("qqp", 0.1, True): ((79.8, 65.0), (88.1, 82.8), (89.7, 86.2), (90.2, 86.8)),
    ("qqp", 0.03, True): ((72.4, 57.8), (87.0, 81.9), (86.1, 81.5), (89.1, 85.5)),
}


@dataclass(frozen=True)
class PaperRun:
    """One cell of the paper's tables, or the dense model (`method` is `dense`)."""

    task: str
    method: str
    density: float = 1.0
    distilled: bool = False

    @property
    def name(self) -> str:
        """Such as `mnli-SMvP-3-distilled`."""
        density = "" if self.method == "dense" else f"-{100 * self.density:g}"
        return f"{self.task}-{self.method}{density}{'-distilled' if self.distilled else ''}"

    @property
    def published(self) -> Pair:
        """The paper's two figures."""
        if self.method == "dense":
            return TASKS[self.task].dense
        return FIGURES[self.task, self.density, self.distilled][list(METHODS).index(self.method)]

    def dense(self) -> "PaperRun":
        """The dense model of the same data, the teacher."""
        return PaperRun(self.task, "dense")

    def spec(self, scope: str = "local") -> PruningSpec:
        """The run's spec. Warm-up and cool-down are shares, so that they also fit a trial on fewer rows.

        Args:
            scope: of the methods that rank.
        """
        task = TASKS[self.task]
        method, parameters, score_rate, cooldown = METHODS.get(self.method, METHODS["MaP"])
        share = task.warmup_steps / task.steps
        dense = self.method == "dense"
        return PruningSpec.model_validate(
            {
                "method": method,
                "target_sparsity": 0.5 if dense else round(1.0 - self.density, 6),
                "task": task.columns,
                "pruning": {
                    "scope": scope if self.method in RANKED else None,
                    "schedule": {"shape": "cubic", "warmup": share, "cooldown": cooldown * share},
                    "params": parameters,
                },
                "distillation": DISTILLATION | {"teacher": self.dense().name} if self.distilled else None,
                "training": {
                    "epochs": DENSE_EPOCHS if dense else task.epochs,
                    "batch_size": task.batch_size,
                    "learning_rate": LEARNING_RATE,
                    "head_learning_rate_multiplier": 1.0,
                    "score_learning_rate": score_rate,
                    "max_length": task.max_length,
                    "dropout": None,
                    "dense_baseline": dense,
                },
            }
        )


def all_runs() -> list[PaperRun]:
    """The dense model of each data set, then the tables' cells."""
    return [
        run
        for task in TASKS
        for run in (
            PaperRun(task, "dense"),
            *(
                PaperRun(task, method, density, distilled)
                for distilled in (False, True)
                for density in DENSITIES
                for method in METHODS
            ),
        )
    ]
