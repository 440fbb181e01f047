"""`make schemathesis`: thousands of requests made up from the description of a running service; none finds anything.

python -m tests.contract --seed 1 --examples 10
"""

import argparse
import random
import sys

from tests.contract.run import ask
from tests.contract.stage import staged


def main() -> int:
    """Ask, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="repeats a run")
    parser.add_argument(
        "--examples", type=int, default=10, help="of each operation, besides the systematic ones (default: %(default)s)"
    )
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with staged() as stage:
        outcome = ask(stage, chosen.seed, chosen.examples)
    print(outcome.output)
    print(f"seed {chosen.seed}: {outcome.cases:,} cases of {outcome.operations} operations,", end=" ")
    print("nothing found" if outcome.ended_well else "and what is above was found", end="; ")
    print(f"{outcome.passed_over:,} refusals were for the service alone to judge")
    return 0 if outcome.ended_well else 1


if __name__ == "__main__":
    sys.exit(main())
