"""Reads the JSON of SQuAD, versions 1.1 and 2.0, as one row per question."""

import json
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from api.datasets.formats import batches
from api.datasets.formats.encoding import require_utf8
from api.datasets.formats.malformed import Malformed
from api.datasets.formats.nested import ANSWERS

_TYPES = {
    "id": pa.string(),
    "title": pa.string(),
    "context": pa.string(),
    "question": pa.string(),
    "answers": ANSWERS,
}


class _Answer(BaseModel):
    text: str
    answer_start: int


class _Question(BaseModel):
    id: str
    question: str
    answers: list[_Answer] = []


class _Paragraph(BaseModel):
    context: str
    qas: list[_Question]


class _Article(BaseModel):
    title: str = ""
    paragraphs: list[_Paragraph]


class _Squad(BaseModel):
    data: list[_Article]


def read_squad(stream: BinaryIO, max_bytes: int) -> pa.Table:
    """Read questions, contexts and answers.

    Raises:
        Malformed: It is not JSON, not laid out as SQuAD, or an answer is not where it says.
    """
    require_utf8(stream)
    try:
        document = _Squad.model_validate(json.load(stream))
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at column {error.colno}.", line=error.lineno) from error
    except RecursionError as error:
        raise Malformed("nested too deeply.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = first["msg"].partition(" or instance of ")[0]  # a class of ours, which says nothing to anybody
        raise Malformed(
            f"not laid out as SQuAD: {place or 'the whole file'}: {what}. A .json file must be SQuAD; write "
            "rows as JSON lines and name the file .jsonl."
        ) from error
    except ValueError as error:
        raise Malformed(f"not usable JSON: {error}.") from error
    try:
        return _table(document, max_bytes)
    except UnicodeEncodeError as error:
        raise Malformed("half a character in a text, written as a \\u escape. Remove it.") from error


def _table(document: _Squad, max_bytes: int) -> pa.Table:
    found = batches.Batches((), _TYPES)
    batch: list[dict[str, object]] = []
    size = 0
    for row, characters in _rows(document):
        size += characters
        if size > max_bytes:  # each question repeats its context
            raise Malformed(f"grows beyond {max_bytes:,} bytes as one row per question. Upload fewer questions.")
        batch.append(row)
        if len(batch) == batches.ROWS:
            found.add(_columns(batch))
            batch = []
    if batch:
        found.add(_columns(batch))
    table = found.table()
    if table.num_rows == 0:
        raise Malformed("no questions.")
    return table


def _columns(rows: list[dict[str, object]]) -> dict[str, list[object]]:
    return {name: [row[name] for row in rows] for name in _TYPES}


def _rows(document: _Squad) -> Iterator[tuple[dict[str, object], int]]:
    """Each question with about how many characters its row has."""
    for article in document.data:
        for paragraph in article.paragraphs:
            for question in paragraph.qas:
                for answer in question.answers:
                    _require_in_place(paragraph.context, question.id, answer)
                row: dict[str, object] = {
                    "id": question.id,
                    "title": article.title,
                    "context": paragraph.context,
                    "question": question.question,
                    "answers": {
                        "text": [answer.text for answer in question.answers],
                        "answer_start": [answer.answer_start for answer in question.answers],
                    },
                }
                yield row, len(paragraph.context) + len(article.title) + len(question.id) + len(question.question)


def _require_in_place(context: str, question: str, answer: _Answer) -> None:
    end = answer.answer_start + len(answer.text)
    if not 0 <= answer.answer_start <= len(context) or context[answer.answer_start : end] != answer.text:
        raise Malformed(
            f"question {question[:100]!r}: its answer is not at answer_start {answer.answer_start} of the context. "
            "Count characters, not bytes, from 0."
        )
