"""The whole service on one real job: upload, submit, watch, download, use. `make demo` runs it.

A sentence model (MiniLM, 6 layers, 10.6 million prunable weights) learns to tell good from bad movie reviews while
movement pruning removes 90 % of its encoder. Model and reviews come from the package registry, with pinned hashes.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from examples.sample_data import movie_reviews, sample_model
from secateur import Client
from secateur.cli.watching import watch
from secateur.embedded import EmbeddedService
from secateur.resources import Job

OUTPUT = Path("demo-output")
TRAIN_ROWS = 3200
VALIDATION_ROWS = 1000
SENTENCES = [
    "A warm, funny and beautifully acted film that stays with you.",
    "Two hours of clumsy jokes and a plot that goes nowhere.",
    "The lead is superb, and the ending left me speechless.",
]
#: The demo fails when the pruned model keeps less than this share of the dense model's accuracy.
REQUIRED_SHARE = 0.92

console = Console()


def main() -> int:
    """Run the demo.

    Returns:
        0 if the job succeeded and the pruned model is good enough.
    """
    started = time.monotonic()
    console.rule("Secateur demo")
    model_dir = sample_model()
    reviews = movie_reviews(train_rows=TRAIN_ROWS, validation_rows=VALIDATION_ROWS)
    with (
        tempfile.TemporaryDirectory(prefix="secateur-demo-") as data_dir,
        EmbeddedService(data_dir, port=0) as service,
        Client(service.url, service.key) as client,
    ):
        console.print(f"The service runs at [bold]{service.url}[/] until the demo ends.")
        model = client.upload_model("minilm-l6", model_dir)
        dataset = client.upload_dataset(
            "movie-reviews", {"train": reviews / "train.csv", "validation": reviews / "validation.csv"}
        )
        console.print(f"Uploaded {model['uri']} and {dataset['uri']} ({dataset['rows']:,} rows).")
        job = client.submit(
            {
                "model": model["uri"],
                "dataset": dataset["uri"],
                "method": "movement",
                "target_sparsity": 0.9,
                "name": "demo",
                "training": {"epochs": 2.5, "max_length": 64},
            }
        )
        console.print(f"Submitted {job['id']}: fine-tunes a dense baseline, then fine-prunes.")
        job = watch(client, job["id"])
        if job["status"] != "succeeded":
            console.print(f"[red]The job {job['status']}:[/] {job['error']}")
            return 1
        shutil.rmtree(OUTPUT, ignore_errors=True)
        files = client.download(job["id"], OUTPUT)
        console.print(f"Downloaded {len(files)} files to {OUTPUT}/. Stopping the service.")
    classify(OUTPUT / "model")
    return summarise(job, time.monotonic() - started)


def classify(directory: Path) -> None:
    """Load the checkpoint with stock transformers and classify three sentences."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.inference_mode():
        probabilities = model(**batch).logits.softmax(dim=-1)  # [3, 2]
    for sentence, row in zip(SENTENCES, probabilities, strict=True):
        best = int(row.argmax())
        console.print(f"  {model.config.id2label[best]:>8} {float(row[best]):.0%}  {sentence}")


def summarise(job: Job, seconds: float) -> int:
    """Print what came out; 1 if the pruned model is not good enough."""
    result = job["result"]
    assert result is not None
    dense = result["dense_eval"]
    assert dense is not None
    share = result["eval"]["accuracy"] / dense["accuracy"]
    table = Table("", "dense", "pruned", title=f"movement pruning, {int(seconds)} s in all")
    table.add_row("accuracy", f"{dense['accuracy']:.3f}", f"{result['eval']['accuracy']:.3f} ({share:.1%} of dense)")
    for name, density in result["density"].items():
        table.add_row(f"density, {name}", "100 %", f"{float(str(density)):.1%}")
    sizes = result["bytes"]
    table.add_row("model directory", "", f"{(sizes['dense'] or 0) / 1e6:.1f} MB (zeros stored densely)")
    table.add_row("model.packed", "", f"{(sizes['packed'] or 0) / 1e6:.1f} MB, the same model exactly")
    console.print(table)
    if share < REQUIRED_SHARE:
        console.print(f"[red]The pruned model keeps less than {REQUIRED_SHARE:.0%} of the dense accuracy.[/]")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
