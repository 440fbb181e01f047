"""Datasets and models: stored with their files, read by their team alone."""

import pytest

from store import (
    Database,
    DatabaseBlobStore,
    NewFile,
    NewSplit,
    NotFound,
    ensure_team,
    get_dataset,
    get_model,
    insert_dataset,
    insert_model,
    list_datasets,
    list_models,
)


def test_a_dataset_comes_back_with_its_splits_in_order(database: Database, team: str) -> None:
    blob = DatabaseBlobStore(database).write([b"PAR1"])
    with database.write() as session:
        other = ensure_team(session, "others").id
        dataset_id = insert_dataset(
            session,
            team,
            name="reviews",
            format="csv",
            columns=[{"name": "label", "type": "int64"}],
            preview=[{"label": 1}],
            splits=[NewSplit("train", 10, blob), NewSplit("eval", 2, blob)],
        ).id
    with database.read() as session:
        dataset = get_dataset(session, team, dataset_id)
        page = list_datasets(session, team)
        assert list_datasets(session, other).data == []
        with pytest.raises(NotFound, match="no dataset"):
            get_dataset(session, other, dataset_id)
    assert [(split.split, split.rows, split.size, split.sha256) for split in dataset.splits] == [
        ("train", 10, 4, blob.sha256),
        ("eval", 2, 4, blob.sha256),
    ]
    assert (dataset.columns, dataset.preview) == ([{"name": "label", "type": "int64"}], [{"label": 1}])
    assert ([each.id for each in page.data], page.next_cursor) == ([dataset_id], None)


def test_a_model_comes_back_with_its_files_by_path(database: Database, team: str) -> None:
    blobs = DatabaseBlobStore(database)
    files = [NewFile("tokenizer.json", blobs.write([b"{}"])), NewFile("config.json", blobs.write([b"{ }"]))]
    with database.write() as session:
        other = ensure_team(session, "others").id
        model_id = insert_model(
            session,
            team,
            name="tiny",
            model_type="bert",
            config={"hidden_size": 8},
            tensors={"count": 3},
            parameters=5_000_000_000,
            files=files,
        ).id
    with database.read() as session:
        model = get_model(session, team, model_id)
        assert [each.id for each in list_models(session, team).data] == [model_id]
        with pytest.raises(NotFound, match="no model"):
            get_model(session, other, model_id)
    assert [file.path for file in model.files] == ["config.json", "tokenizer.json"]
    assert (model.size, model.parameters) == (5, 5_000_000_000)
