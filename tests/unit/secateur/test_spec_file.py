"""A spec that cannot be read is told with the place of the mistake."""

import io
import sys
from pathlib import Path

import pytest

from secateur import LocalFileError
from secateur.cli.spec_file import read_spec


def written(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "job.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_a_spec_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_spec(written(tmp_path, '{"target_sparsity": 0.9}')) == {"target_sparsity": 0.9}
    assert read_spec(written(tmp_path, b'\xef\xbb\xbf{"name": "\xc3\xbc"}')) == {"name": "ü"}


def test_a_spec_is_read_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"method": "movement"}')))
    assert read_spec("-") == {"method": "movement"}


def test_a_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"job\.json is not valid JSON: line 3, column 3: Expecting"):
        read_spec(written(tmp_path, '{\n  "method": "movement"\n  "target_sparsity": 0.9\n}'))


@pytest.mark.parametrize("content", ["[]", "3", '"movement"', "null"])
def test_something_else_than_an_object_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(LocalFileError, match="is not a JSON object with model, dataset, method and target_sparsity"):
        read_spec(written(tmp_path, content))


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="gives the field 'method' twice"):
        read_spec(written(tmp_path, '{"method": "movement", "method": "magnitude"}'))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="is not UTF-8 text"):
        read_spec(written(tmp_path, b'{"name": "\xe9"}'))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"nowhere\.json cannot be read: No such file"):
        read_spec(str(tmp_path / "nowhere.json"))
