"""`python -m pruning_core.packed FILE DIRECTORY`: what `secateur unpack` runs."""

import argparse
import sys
from pathlib import Path

from pruning_core.packed.frames import PackedError
from pruning_core.packed.unpacking import unpack


def main() -> int:
    """Unpack a file and name what came out, a line each."""
    parser = argparse.ArgumentParser(description="Unpack a packed model into a model directory.")
    parser.add_argument("file", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--most-bytes", type=int, help="how much it may unpack to")
    options = parser.parse_args()
    try:
        files = unpack(options.file, options.directory, most_bytes=options.most_bytes)
    except (PackedError, OSError) as error:
        print(_reason(error) if isinstance(error, OSError) else f"{options.file}: {error}", file=sys.stderr)
        return 1
    for path in files:
        print(path)
    return 0


def _reason(error: OSError) -> str:
    """What went wrong with which path, without the system's number of it."""
    if error.strerror:
        return f"{error.filename2 or error.filename}: {error.strerror}."
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
