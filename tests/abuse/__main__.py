"""`make abuse`: what nobody should send, sent to a real service with the limits of production.

python -m tests.abuse
python -m tests.abuse --only 'parallel polls'
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.abuse.attack import HEADING, carry_out
from tests.abuse.attacks import ATTACKS
from tests.abuse.victim import serve


def main() -> int:
    """Carry out every attack, print what came of it, and say whether all were withstood."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    names = [attack.name for attack in ATTACKS]
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="ATTACK")
    chosen = parser.parse_args()
    print(HEADING, flush=True)
    outcomes = []
    # A limit per minute that the guesser of keys reaches, and nobody else.
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), rate_limit="3000/minute") as victim:
        for attack in ATTACKS:
            if chosen.only and attack.name not in chosen.only:
                continue
            outcomes.append(carry_out(attack, victim, attack.times))
            print(outcomes[-1].row, flush=True)
        lost = victim.lost()
    answers = sum((outcome.answers for outcome in outcomes[1:]), outcomes[0].answers.copy())
    figures = {
        "attacks": len(outcomes),
        "withstood": sum(outcome.withstood for outcome in outcomes),
        "answers": dict(sorted(answers.items())),
        "lost": len(lost),
        "peak_mib": round(max(outcome.peak_mib for outcome in outcomes)),
    }
    print(json.dumps(figures))
    return 0 if not lost and all(outcome.withstood for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
