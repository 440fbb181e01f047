"""The training process, from its first moment: tied to its supervisor before the seconds that importing torch takes."""

import gc
import os
import sys
from pathlib import Path

from worker.lifeline import die_at_end_of_stdin, die_with_parent

if __name__ == "__main__":
    die_with_parent()
    die_at_end_of_stdin()
    gc.disable()  # what is imported stays: looking through it again and again takes a second, and as long at the end
    from worker.attempt import carry_out

    gc.freeze()
    gc.enable()
    code = carry_out(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at once: all is written, and an interpreter takes a second to clear up what ends with it anyway
