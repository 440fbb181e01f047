"""Whole runs of the library on a tiny BERT, seconds long."""

from pathlib import Path

from pruning_core import PruningResult, PruningSpec, prune
from pruning_core.evaluation import Tick, nobody_waits
from pruning_core.training import OnProgress
from tests.tiny import reviews

#: Weights of the tiny BERT's twelve matrices.
PRUNABLE = 2 * (4 * 32 * 32 + 2 * 32 * 64)
#: A run that says little but ends soon: 24 steps, of which 14 prune.
SHORT: dict[str, object] = {
    "max_steps": 24,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "max_length": 16,
    "dense_baseline": False,
    "precision": "fp32",
}
#: What a method needs beside its name, where the defaults do not make a run.
NEEDS: dict[str, dict[str, object]] = {
    # a tiny BERT has two layers, and eight heads
    "layerdrop": {"target_sparsity": 0.5},
    "head": {"target_sparsity": 0.5},
}


def short_spec(method: str = "movement", **changes: object) -> PruningSpec:
    """A spec of 24 steps; `training` and `pruning` are merged with what the method needs."""
    fields: dict[str, object] = {
        "method": method,
        "target_sparsity": 0.9,
        "task": {"text": "text", "label": "label"},
        "training": SHORT,
    }
    for source in (NEEDS.get(method, {}), changes):
        for name, value in source.items():
            former = fields.get(name)
            fields[name] = {**former, **value} if isinstance(former, dict) and isinstance(value, dict) else value
    return PruningSpec.model_validate(fields)


def short_run(
    model_dir: Path,
    output: Path,
    spec: PruningSpec,
    *,
    on_progress: OnProgress | None = None,
    tick: Tick = nobody_waits,
) -> PruningResult:
    """Prune on 96 reviews, judged on 40 others."""
    return prune(
        model_dir,
        reviews(96),
        spec,
        output,
        evaluation=reviews(40, seed=1),
        on_progress=on_progress,
        tick=tick,
        illustrated=False,
    )
