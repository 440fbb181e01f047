"""Data files of the benchmarks as the tables that `prune` takes."""

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import csv


def read_csv(file: Path) -> pa.Table:
    """A CSV file, every column of strings: a text may look like a number."""
    names = csv.read_csv(file).column_names
    return csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())))


def read_squad(file: Path) -> pa.Table:
    """SQuAD's nested JSON as one row per question."""
    document = json.loads(file.read_text(encoding="utf-8"))
    return pa.Table.from_pylist(
        [
            {"question": asked["question"], "context": paragraph["context"], "answers": asked["answers"]}
            for article in document["data"]
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    )
