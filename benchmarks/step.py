"""What pruning costs in a training step: ours by method against dense fine-tuning and the original's way, interleaved.

`make bench-step` takes about twelve minutes on two cores. In each round every way takes one step on the same batch of
32 × 64 tokens, each between two dense steps; a way's ratio is its time over the mean of these two, for a machine's pace
drifts from second to second, and the median over rounds counts (the mean where some steps cost more than others by
design). It is measured halfway down the schedule and at the final density, and the worse of the two is the result.

The process has a trainer's environment (`pruning_core.environment`): where each step has tens of thousands of pages
cleared, how many it is decides which way is faster.

*dense* is our own loop without a pruner: same attention, no dropout, embeddings frozen. *dense_stock* is what
transformers does unless told otherwise. *sort_per_forward* is the paper's released way (`original.py`).

The last line printed is one JSON object: `{"ratio": {method: …}, "sort_per_forward": …, …}`.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.step_memory import describe, measure
from benchmarks.step_ways import BATCH, TOKENS, UNTIMED, Setting, Way, new_way, positions, save_bert_base
from examples.sample_data import sample_model
from pruning_core.environment import QUICK_STEPS
from pruning_core.methods import METHODS

#: Most that a step may cost, in dense steps. Second-order methods have no limit, but their cost is said.
LIMITS = dict.fromkeys(("movement", "magnitude"), 1.10)
OTHER_LIMIT = 1.30
#: Steps that a way takes in its turn. On a GPU the host runs ahead of the device; to wait for it after each step is not
#: what training does.
STEPS_A_TURN = 10 if torch.cuda.is_available() else 1
#: On the model of BERT-base's size only these: a step takes seconds there.
LARGE_WAYS = ("dense", "magnitude", "movement")


@dataclass(frozen=True)
class Timing:
    """One model's figures.

    Attributes:
        dense: median seconds of a dense step, by position.
        at: by position, by way, its ratio to dense.
    """

    dense: dict[str, float]
    at: dict[str, dict[str, float]]

    def worst(self, way: str) -> float:
        """The larger of a way's ratios."""
        return max(ratios[way] for ratios in self.at.values() if way in ratios)


def time_ways(names: Sequence[str], setting: Setting) -> Timing:
    """Time ways in alternating order, each between two dense turns: a machine's pace drifts from second to second."""
    ways = {name: new_way(name, setting) for name in names}
    dense = ways.pop("dense")
    timing = Timing({}, {})
    for position in ("middle", "final"):
        # Second-order methods do their costly work in the window only.
        chosen = {name: way for name, way in ways.items() if not (way.rare and position == "final")}
        for way in (dense, *chosen.values()):
            way.go_to(positions(way.schedule, setting.steps)[position])
            for _ in range(UNTIMED):
                way.step()
        first = positions(dense.schedule, setting.steps)[position] + UNTIMED
        turns = _time_rounds(dense, chosen, range(first, first + setting.steps, STEPS_A_TURN))
        timing.dense[position] = statistics.median(turn.dense for own in turns.values() for turn in own)
        timing.at[position] = {"dense": 1.0}
        for name, own in turns.items():
            middle = statistics.mean if chosen[name].rare else statistics.median
            timing.at[position][name] = round(middle(turn.own / turn.dense for turn in own), 3)
    return timing


class Turn(NamedTuple):
    """Seconds of a step.

    Attributes:
        own: of a way.
        dense: of the dense turns before it and after it, their mean.
    """

    own: float
    dense: float


def _time_rounds(dense: Way, ways: dict[str, Way], starts: Iterable[int]) -> dict[str, list[Turn]]:
    """A turn of each way for each of the steps at which a dense turn starts: of a round all take the same batches."""
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    order = list(ways)
    gc.collect()
    gc.disable()
    for start in starts:
        before = _time_turn(dense)
        for name in order:
            own = _time_turn(ways[name])
            dense.go_to(start)
            after = _time_turn(dense)
            turns[name].append(Turn(own, (before + after) / 2))
            before = after
        order = order[1:] + order[:1]
    gc.enable()
    return turns


def _time_turn(way: Way) -> float:
    """Seconds of a step."""
    started = time.perf_counter()
    for _ in range(STEPS_A_TURN):
        way.step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS_A_TURN


def show(title: str, timing: Timing) -> None:
    """Print one model's table."""
    dense = ", ".join(f"{1000 * seconds:.0f} ms at {position}" for position, seconds in timing.dense.items())
    print(f"\n{title}: a dense step takes {dense}.\n{'way':18}{'middle':>8}{'final':>8}   limit")
    for name in timing.at["middle"]:
        cells = "".join(f"{timing.at[p].get(name, float('nan')):8.3f}" for p in ("middle", "final"))
        limit = limit_of(name)
        verdict = "" if limit is None else f"{limit:.2f} {'ok' if timing.worst(name) <= limit else 'EXCEEDED'}"
        print(f"{name:18}{cells.replace('nan', '  -')}   {verdict}")


def limit_of(name: str) -> float | None:
    """What a way may cost; None for those without a limit."""
    if name not in METHODS or METHODS[name].order >= 2:
        return None
    return LIMITS.get(name, OTHER_LIMIT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables and the JSON line."""
    parser = argparse.ArgumentParser(description="Time training steps, dense and pruned, interleaved.")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=10, help="turns per way and position; a multiple of ten")
    parser.add_argument(
        "--large-rounds", type=int, default=10, help="the same for the model of BERT-base's size; any number"
    )
    parser.add_argument("--quick", action="store_true", help="MiniLM only, and no memory")
    options = parser.parse_args(arguments)
    methods = options.methods.split(",")
    if unknown := set(methods) - set(METHODS):
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}")
    if options.rounds < 10 or options.rounds % 10 or options.large_rounds < 2:
        parser.error("--rounds must be a multiple of ten, because some methods do costly work in one step of ten.")

    minilm = sample_model()
    setting = Setting.of(minilm, minilm, options.rounds * STEPS_A_TURN)
    ways = ["dense", "dense_stock", "sort_per_forward", *methods]
    small = time_ways(ways, setting)
    precision = "bf16" if setting.bf16 else "fp32"
    threads = torch.get_num_threads()
    show(f"MiniLM-L6, {BATCH} x {TOKENS} tokens, {precision}, {setting.device.type}, {threads} threads", small)
    result: dict[str, object] = {
        "ratio": {name: small.worst(name) for name in methods},
        "sort_per_forward": small.worst("sort_per_forward"),
        "dense_stock": small.worst("dense_stock"),
        "dense_seconds": {position: round(seconds, 4) for position, seconds in small.dense.items()},
        "at": small.at,
        "precision": precision,
        "device": setting.device.type,
        "threads": threads,
    }
    timed = [small]
    if not options.quick:
        with tempfile.TemporaryDirectory() as scratch:
            directory = save_bert_base(Path(scratch))
            found = {name: measure(name, directory, minilm) for name in LARGE_WAYS}
            large = time_ways(LARGE_WAYS, Setting.of(directory, minilm, options.large_rounds * STEPS_A_TURN))
        show("BERT-base's size", large)
        timed.append(large)
        memory = describe(found)
        print("\nMemory at BERT-base's size, bytes per prunable weight (allowed: dense + scores + their Adam state)")
        print(f"Compiled loops, and what compiles them, take {memory['dense']['compiled_mb']:.0f} MB more, in each.")
        for name, row in memory.items():
            print(
                f"{name:12} peak {row['peak_mb']:6.0f} MB, over dense {row['peak_over_dense_per_weight']:5.1f} "
                f"(allowed {row['allowed_over_dense_per_weight']}); held from step to step "
                f"{row['held_per_weight']:5.2f} (allowed {row['allowed_per_weight']})"
            )
        result["bert_base"] = {
            "ratio": {name: large.worst(name) for name in LARGE_WAYS[1:]},
            "dense_seconds": {position: round(seconds, 4) for position, seconds in large.dense.items()},
        }
        result["memory"] = memory
    result["within_limits"] = all(
        timing.worst(name) <= limit
        for timing in timed
        for name in timing.at["middle"]
        if (limit := limit_of(name)) is not None
    )
    print(json.dumps(result))


if __name__ == "__main__":
    if not QUICK_STEPS.keys() & os.environ.keys():  # read when a process starts, so it must start again
        again = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | QUICK_STEPS)  # noqa: S606  # ourselves
    main()
