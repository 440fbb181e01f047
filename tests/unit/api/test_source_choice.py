"""Which files of a repository make a model, and which a dataset's splits; and how a spec names them."""

import pytest

from api.sources.choice import folder_splits, model_files, split_files
from api.sources.problems import SourceRefused
from api.sources.uris import BadUri, FileSource, HubSource, Kind, Upload, parse

CONFIG = {"config.json", "vocab.txt"}
#: As the card of nyu-mll/glue has it, shortened.
GLUE: dict[str, object] = {
    "configs": [
        {
            "config_name": name,
            "data_files": [
                {"split": "train", "path": f"{name}/train-*"},
                {"split": "validation", "path": [f"{name}/validation-*"]},
            ],
        }
        for name in ("cola", "mnli")
    ]
}
GLUE_FILES = [
    "README.md",
    *(f"{name}/{split}-00000-of-00001.parquet" for name in ("cola", "mnli") for split in ("train", "validation")),
]


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"model.safetensors", "pytorch_model.bin", "README.md", "onnx/model.safetensors"}, {"model.safetensors"}),
        ({"model.safetensors", "model.fp16.safetensors"}, {"model.safetensors"}),
        (
            {"model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"},
            {"model-00001-of-00002.safetensors", "model.safetensors.index.json"},
        ),
        ({"weights.safetensors", "modeling.py", "archive.zip"}, {"weights.safetensors"}),
    ],
)
def test_a_model_is_what_an_upload_may_have_with_its_weights_once(there: set[str], taken: set[str]) -> None:
    assert set(model_files(CONFIG | there)) == CONFIG | taken


def test_a_model_without_safetensors_is_refused_with_what_it_has() -> None:
    with pytest.raises(SourceRefused, match=r"no \*\.safetensors.*pytorch_model\.bin.*safe_serialization"):
        model_files(CONFIG | {"pytorch_model.bin"})


def test_a_card_says_which_files_are_which_config_and_split() -> None:
    assert split_files(GLUE_FILES, GLUE, "mnli") == {
        "train": ["mnli/train-00000-of-00001.parquet"],
        "validation": ["mnli/validation-00000-of-00001.parquet"],
    }
    with pytest.raises(SourceRefused, match=r"several configs.*cola, mnli"):
        split_files(GLUE_FILES, GLUE, None)
    with pytest.raises(SourceRefused, match=r"no config 'sst2'; it has cola, mnli"):
        split_files(GLUE_FILES, GLUE, "sst2")


@pytest.mark.parametrize("entry", [{"default": True}, {"config_name": "default"}])
def test_of_several_configs_one_may_be_the_default(entry: dict[str, object]) -> None:
    card = {"configs": [{"config_name": "other", "data_files": "o.csv"}, {"data_files": "d.csv", **entry}]}
    assert split_files(["o.csv", "d.csv"], card, None) == {"train": ["d.csv"]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"], {"train"}),
        (["train.csv", "dev.csv", "test.csv"], {"train", "validation", "test"}),
        (["my_training_set.jsonl", "my_val_set.jsonl"], {"train", "validation"}),
        (["train/a.csv", "train/b.csv", "eval/c.csv"], {"train", "test"}),
        (["data/faq_dev2.csv"], {"validation"}),
        (["reviews.csv"], {"train"}),
        (["data/hard-00000-of-00001.parquet"], {"hard"}),
    ],
)
def test_without_a_card_names_tell_the_splits(names: list[str], splits: set[str]) -> None:
    found = split_files([*names, "README.md", "setup.py", ".cache/train.csv", "train.csv.gz"], None, None)
    assert set(found) == splits
    assert sorted(name for files in found.values() for name in files) == sorted(names)


def test_without_a_card_a_config_is_a_folder() -> None:
    names = ["en/train.csv", "de/train.csv"]
    assert split_files(names, {}, "de") == {"train": ["de/train.csv"]}
    with pytest.raises(SourceRefused, match="no config 'fr'"):
        split_files(names, {}, "fr")


def test_a_dataset_without_files_that_can_be_read_is_refused() -> None:
    with pytest.raises(SourceRefused, match=r"no files that can be read here \(\.csv"):
        split_files(["images.tar", "script.py"], None, None)


def test_in_a_folder_each_file_is_called_like_its_split() -> None:
    assert folder_splits(["train.csv", "mismatched.csv", "notes.txt"]) == {
        "mismatched": ["mismatched.csv"],
        "train": ["train.csv"],
    }


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("google-bert/bert-base-uncased", HubSource("google-bert/bert-base-uncased")),
        ("gpt2", HubSource("gpt2")),
        ("hf://a/b@refs/pr/1", HubSource("a/b", "refs/pr/1")),
        ("hf://models/mdl_1@main", HubSource("models/mdl_1")),
        ("file://dir/bert%20base", FileSource("dir/bert base")),
        ("file://dir#sha256=" + "0" * 64, FileSource("dir", "0" * 64)),
        ("upload://mdl_" + "0" * 32, Upload("mdl_" + "0" * 32)),
    ],
)
def test_a_model_is_named_in_one_of_three_ways(uri: str, source: object) -> None:
    assert parse(Kind.MODEL, uri) == source
    if not isinstance(source, Upload):
        assert parse(Kind.MODEL, str(source)) == source


def test_a_dataset_may_name_a_config() -> None:
    assert parse(Kind.DATASET, "hf://nyu-mll/glue@main?config=mnli") == HubSource("nyu-mll/glue", "main", "mnli")
    assert parse(Kind.DATASET, "hf://datasets/nyu-mll/glue?config=mnli") == HubSource("nyu-mll/glue", "main", "mnli")
    assert str(HubSource("a/b", "main", "c d+e")) == "hf://a/b@main?config=c+d%2Be"


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "hf://",
            "hf://a/b/c",
            "hf://a/b@",
            "hf://../b",
            "hf://a--b/c",
            "hf://a/b@-x",
            "hf://a/b@c/../d",
            "hf://a/b?config=c",
        ),
        *("file://", "file:///etc", "file://a/../b", "file://a\\b", "file://a#x"),
        *("upload://ds_1", "s3://a/b", "http://a/b", "a b"),
    ],
)
def test_other_names_are_refused(uri: str) -> None:
    with pytest.raises(BadUri):
        parse(Kind.MODEL, uri)
