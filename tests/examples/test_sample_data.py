"""The demo's data: labels by the rating's sign, no text twice, the same rows every time. No download here."""

import csv
from pathlib import Path

import pytest

from examples import sample_data
from examples.sample_data import Review, SampleDataError, movie_reviews, parse_reviews, sample_model


def table(*rows: tuple[float, str]) -> str:
    return "".join(f"{number}\t{rating}\t{text}\r\n" for number, (rating, text) in enumerate(rows, start=1))


def read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture
def twenty_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = table(*[((-1) ** number * 1.5, f'Film {number}, "so to say"') for number in range(20)])
    monkeypatch.setattr(sample_data, "_download_reviews", lambda: ratings)


def test_the_label_is_the_sign_of_the_rating_and_zero_is_dropped() -> None:
    reviews = parse_reviews(table((2.3, "Touché!"), (-0.1, "A  dull film "), (0.0, "A film.")))
    assert reviews == [Review("Touché!", "positive"), Review("A dull film", "negative")]


def test_a_text_seen_before_is_dropped_whatever_its_case_or_spacing() -> None:
    reviews = parse_reviews(table((1, "Good fun."), (-1, "GOOD  fun."), (2, "Good fun!")))
    assert [review.text for review in reviews] == ["Good fun.", "Good fun!"]


def test_a_broken_line_is_named() -> None:
    with pytest.raises(SampleDataError, match="line 2"):
        parse_reviews(table((1, "Good.")) + "2\tno rating\r\n")


@pytest.mark.usefixtures("twenty_reviews")
def test_no_text_is_both_trained_on_and_held_out(tmp_path: Path) -> None:
    folder = movie_reviews(tmp_path, train_rows=12, validation_rows=8)
    train, validation = read(folder / "train.csv"), read(folder / "validation.csv")
    assert (len(train), len(validation)) == (12, 8)
    assert {text for text, _ in train} & {text for text, _ in validation} == set()
    assert {label for _, label in train} == {"positive", "negative"}


@pytest.mark.usefixtures("twenty_reviews")
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    def rows(cache: str, seed: int) -> list[tuple[str, str]]:
        return read(movie_reviews(tmp_path / cache, train_rows=12, validation_rows=8, seed=seed) / "train.csv")

    assert rows("one", 1) == rows("two", 1) != rows("three", 2)


@pytest.mark.usefixtures("twenty_reviews")
def test_a_second_call_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = movie_reviews(tmp_path, train_rows=12, validation_rows=8)
    monkeypatch.setattr(sample_data, "_download_reviews", lambda: pytest.fail("It downloaded again."))
    assert movie_reviews(tmp_path, train_rows=12, validation_rows=8) == first


@pytest.mark.usefixtures("twenty_reviews")
def test_the_unfinished_file_of_another_process_is_left_alone(tmp_path: Path) -> None:
    folder = movie_reviews(tmp_path, train_rows=12, validation_rows=8)
    anothers = folder / "train.1.partial"
    anothers.write_text("half a line")
    (folder / "train.csv").unlink()
    assert len(read(movie_reviews(tmp_path, train_rows=12, validation_rows=8) / "train.csv")) == 12
    assert [path.name for path in folder.glob("*.partial")] == [anothers.name]


@pytest.mark.usefixtures("twenty_reviews")
def test_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleDataError, match="lower train_rows or validation_rows"):
        movie_reviews(tmp_path, train_rows=20, validation_rows=1)


def test_the_sample_model_is_the_pinned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {path.name for path in sample_model().iterdir()}
    monkeypatch.setattr(sample_data, "MODEL_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(SampleDataError, match=r"model\.safetensors has sha256 53aa"):
        sample_model()
