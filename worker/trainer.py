"""The training process, from its first moment: tied to its supervisor before the seconds that importing torch takes."""

import sys
from pathlib import Path

from worker.lifeline import die_at_end_of_stdin, die_with_parent

if __name__ == "__main__":
    die_with_parent()
    die_at_end_of_stdin()
    from worker.attempt import carry_out

    sys.exit(carry_out(Path(sys.argv[1])))
