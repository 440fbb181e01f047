"""`make chaos`: break everything that can break, many times, and see that no job notices.

python -m tests.chaos --faults 200 --database both --seed 1
"""

import argparse
import random
import signal
import sys

from transformers.utils.logging import disable_progress_bar

from tests.chaos.faults import FAULTS
from tests.chaos.jobs import Checksums, specs
from tests.chaos.report import Outcome, last_line, table
from tests.chaos.scene import play
from tests.chaos.stage import Kind

_STEPS = 500


def main() -> int:
    """Run the storms and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="repeats a run")
    parser.add_argument("--faults", type=int, default=200, help="how many, over all databases (default: %(default)s)")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--minutes", type=float, default=90, help="inject no more after so long (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", default=[], choices=[fault.name for fault in FAULTS], metavar="FAULT"
    )
    chosen = parser.parse_args()
    # As Ctrl-C, so that whoever stops us leaves nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kinds: list[Kind] = ["postgres", "sqlite"] if chosen.database == "both" else [chosen.database]
    disable_progress_bar()
    print(f"seed {chosen.seed}", flush=True)
    outcomes: list[Outcome] = []
    references: list[Checksums] = []
    for position, kind in enumerate(kinds):
        # The first takes what does not divide evenly.
        count = chosen.faults // len(kinds) + (chosen.faults % len(kinds) if position == 0 else 0)
        outcomes.append(
            play(
                kind,
                seed=chosen.seed + position,
                count=count,
                specs=specs(_STEPS),
                minutes=chosen.minutes / len(kinds),
                references=references,
                only=chosen.only,
                tell=lambda line: print(line, flush=True),
            )
        )
    for outcome in outcomes:
        print(f"\n{table(outcome)}")
    print(f"\n{last_line(outcomes)}")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
