"""`secateur unpack`: a packed model becomes the directory that it was made of; no service is asked."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.output import AsJson, print_json, results, say
from secateur.errors import CannotUnpack

#: What unpacking imports besides ours, and what brings it.
NEEDED = ("constriction", "numpy", "zstandard")
REMEDY = "Install them with: pip install 'secateur[packed]'"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unpack)


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A packed model, such as a job's model.packed.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; it must not be there yet.", show_default=False)
    ],
    most_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="How much it may unpack to. Default: 64 GiB, and 5,000 times the file's size."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Unpack a packed model into a directory that stock transformers loads.

    Exact files are the same to the last bit; those packed as fp16 or int8 have rounded weights of the same type.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CannotUnpack(f"It takes packages that are not installed: {', '.join(missing)}. {REMEDY}")
    # A process of its own: the client imports neither the core nor what that needs.
    limit = [] if most_bytes is None else [f"--most-bytes={most_bytes}"]
    command = [sys.executable, "-m", "pruning_core.packed", *limit, "--", str(file), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotUnpack(done.stderr.strip().rpartition("\n")[2])
    paths = done.stdout.splitlines()
    if as_json:
        print_json(paths)
    else:
        for path in paths:
            results.print(path, soft_wrap=True, markup=False)
        say(f"Load it with: transformers.{_class_of(directory)}.from_pretrained({str(directory)!r})")


def _class_of(directory: Path) -> str:
    """The class that loads a model with its head."""
    try:
        [name] = json.loads((directory / "config.json").read_text(encoding="utf-8"))["architectures"]
    except (OSError, ValueError, LookupError, TypeError):
        return "AutoModel"
    return name if isinstance(name, str) and name.isidentifier() else "AutoModel"
