"""`secateur datasets upload`, `list`, `show` and `delete`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from secateur.cli.connection import connect
from secateur.cli.output import AsJson, age_text, bytes_text, print_deleted, print_json, results, say, table
from secateur.cli.transfer import transferring

app = typer.Typer(help="Upload and list datasets.", no_args_is_help=True)


@app.command()
def upload(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the dataset.", show_default=False)],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="SPLIT=FILE",
            help="The file of each split: train=train.csv validation=dev.csv. CSV, TSV, JSON Lines, Parquet or SQuAD.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Upload a dataset, one file per split, and print its id."""
    splits = _splits(files)
    size = sum(path.stat().st_size for path in splits.values() if path.is_file())
    with connect(context) as client, transferring("Uploading", size) as count:
        dataset = client.upload_dataset(name, splits, count)
    if as_json:
        print_json(dataset)
        return
    results.print(dataset["id"], soft_wrap=True)
    rows = ", ".join(f"{split['name']} {split['rows']:,} rows" for split in dataset["splits"])
    say(f'Uploaded: {escape(rows)}. Name it in a spec as "dataset": "{dataset["uri"]}".')


@app.command("list")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the team's datasets, newest first."""
    with connect(context) as client:
        datasets = list(client.datasets())
    if as_json:
        print_json(datasets)
        return
    listing = table("id", "age", "rows", "name")
    for dataset in datasets:
        splits = ", ".join(f"{split['name']} {split['rows']:,}" for split in dataset["splits"])
        listing.add_row(dataset["id"], age_text(dataset["created_at"]), escape(splits), escape(dataset["name"]))
    results.print(listing)


@app.command()
def show(
    context: typer.Context,
    dataset_id: Annotated[str, typer.Argument(metavar="ID", help="The dataset's id.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a dataset's splits, columns, labels and first rows."""
    with connect(context) as client:
        dataset = client.dataset(dataset_id)
    if as_json:
        print_json(dataset)
        return
    splits = ", ".join(f"{split['name']} {split['rows']:,} rows" for split in dataset["splits"])
    results.print(escape(f"{dataset['name']}: {splits}, {bytes_text(dataset['size'])}"), soft_wrap=True)
    listing = table("column", "type", "distinct", "nulls", "labels", right=("distinct", "nulls"))
    for column in dataset["columns"]:
        labels = ", ".join(f"{label['value']} {label['rows']:,}" for label in dataset["labels"].get(column["name"], ()))
        distinct, nulls = (max(counts.values(), default=0) for counts in (column["distinct"], column["nulls"]))
        listing.add_row(escape(column["name"]), column["type"], f"{distinct:,}", f"{nulls:,}", escape(labels))
    results.print(listing)
    for row in dataset["preview"]:
        results.print(json.dumps(row, ensure_ascii=False), markup=False, style="dim", overflow="ellipsis", no_wrap=True)


@app.command("delete")
def delete_dataset(
    context: typer.Context,
    dataset_id: Annotated[str, typer.Argument(metavar="ID", help="The dataset's id.")],
    as_json: AsJson = False,
) -> None:
    """Delete a dataset; refused while a job that has not ended uses it."""
    with connect(context) as client:
        client.delete_dataset(dataset_id)
    print_deleted(dataset_id, as_json=as_json)


def _splits(words: list[str]) -> dict[str, Path]:
    splits: dict[str, Path] = {}
    for word in words:
        split, equals, file = word.partition("=")
        if not (split and equals and file):
            raise typer.BadParameter(f"{word!r} is not SPLIT=FILE, such as train={word}.")
        if split in splits:
            raise typer.BadParameter(f"The split {split} is given twice; put its rows into one file.")
        splits[split] = Path(file).expanduser()
    return splits
