"""Datasets over HTTP: what is taken in, how it is described, and that a refusal stores nothing."""

import io
import json
import random

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from store import DatabaseBlobStore, get_dataset
from tests.unit.api.calling import Api, detail, pointers
from tests.unit.api.uploads import sentences


def stored_table(api: Api, dataset_id: str, split: str) -> pa.Table:
    """A split as it lies in the store."""
    with api.database.read() as session:
        found = {each.split: each for each in get_dataset(session, api.team, dataset_id).splits}[split]
    raw = b"".join(DatabaseBlobStore(api.database).read(found.blob_id))
    return pq.read_table(io.BytesIO(raw))


def test_an_upload_is_described_and_kept_as_parquet(api: Api) -> None:
    answer = api.upload_dataset(
        train=("train.csv", '\ufefftext,label,stars\n"a ""fine"" film,\nindeed",pos,4.5\nöde,neg,\n'.encode()),
        test=("test.csv", b"text,label,stars\nfilm,pos,3\n"),
    )
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert answer.headers["location"] == view["url"] == f"/v1/datasets/{view['id']}"
    assert view["uri"] == f"upload://{view['id']}"
    assert view["columns"] == [
        {"name": "text", "type": "string", "nulls": {"train": 0, "test": 0}, "distinct": {"train": 2, "test": 1}},
        {"name": "label", "type": "string", "nulls": {"train": 0, "test": 0}, "distinct": {"train": 2, "test": 1}},
        {"name": "stars", "type": "float64", "nulls": {"train": 1, "test": 0}, "distinct": {"train": 1, "test": 1}},
    ]
    assert view["labels"]["label"] == [{"value": "neg", "rows": 1}, {"value": "pos", "rows": 2}]
    assert view["preview"][0] == {"text": 'a "fine" film,\nindeed', "label": "pos", "stars": 4.5}
    assert [(split["name"], split["rows"]) for split in view["splits"]] == [("train", 2), ("test", 1)]
    assert stored_table(api, view["id"], "train").to_pylist()[1] == {"text": "öde", "label": "neg", "stars": None}
    assert api.get(view["url"]).json() == view
    assert [each["id"] for each in api.get("/v1/datasets").json()["data"]] == [view["id"]]
    assert api.as_other_team().get(view["url"]).status_code == 404
    assert api.as_other_team().get("/v1/datasets").json()["data"] == []


def test_types_are_found_over_all_splits_together(api: Api) -> None:
    answer = api.upload_dataset(
        train=("train.csv", b"a,b,c,d,e,f\n1,1,01,1,,9999999999999999999\n2,2,2,2.5,,2\n"),
        other=("other.csv", b"a,b,c,d,e,f\n-3,x,3,1e3,,3\n"),
    )
    types = {column["name"]: column["type"] for column in answer.json()["columns"]}
    assert types == {"a": "int64", "b": "string", "c": "string", "d": "float64", "e": "string", "f": "string"}


def test_every_format_becomes_the_same_table(api: Api) -> None:
    rows = [{"text": "a film", "label": 1}, {"text": "tab\tand, comma", "label": 0}]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    uploads = {
        "t.csv": b'text,label\na film,1\n"tab\tand, comma",0\n',
        "t.tsv": b'text\tlabel\na film\t1\n"tab\tand, comma"\t0\n',
        "t.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "T.Parquet": parquet.getvalue(),
    }
    digests = set()
    for filename, raw in uploads.items():
        view = api.upload_dataset(train=(filename, raw)).json()
        assert stored_table(api, view["id"], "train").to_pylist() == rows, filename
        digests.add(view["splits"][0]["sha256"])
    assert len(digests) == 1, "equal content is stored once"


def test_squad_becomes_a_row_per_question(api: Api) -> None:
    document = {
        "version": "1.1",
        "data": [
            {
                "title": "Trees",
                "paragraphs": [
                    {
                        "context": "An oak is a tree.",
                        "qas": [{"id": "1", "question": "What?", "answers": [{"text": "oak", "answer_start": 3}]}],
                    }
                ],
            }
        ],
    }
    view = api.upload_dataset(train=("train.json", json.dumps(document).encode())).json()
    assert (view["format"], view["rows"]) == ("squad", 1)
    assert stored_table(api, view["id"], "train").to_pylist() == [
        {
            "id": "1",
            "title": "Trees",
            "context": "An oak is a tree.",
            "question": "What?",
            "answers": {"text": ["oak"], "answer_start": [3]},
        }
    ]
    document["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 4  # type: ignore[index]
    refused = api.upload_dataset(train=("train.json", json.dumps(document).encode()))
    assert "question '1': its answer is not at answer_start 4" in detail(refused, "/train")


MALFORMED: list[tuple[str, str, bytes, str]] = [
    ("an empty file", "t.csv", b"", "t.csv: the file is empty"),
    ("nothing but blank lines", "t.csv", b"\n \n", "the file is empty"),
    ("only a header", "t.csv", b"text,label\n", "only a header"),
    ("a ragged row", "t.csv", b"text,label\na,b\nc\n", "t.csv, line 3: 1 cells where the header has 2"),
    ("a ragged row after a quoted line break", "t.csv", b'text,label\n"a\nb",c\nd,e,f\n', "line 4: 3 cells"),
    ("a quote never closed", "t.csv", b'text,label\na,b\n"c,d\ne,f\n', "line 3: a quote"),
    ("a quote that swallows rows", "t.csv", b'text,label\n1,"2\n3,"4\n', "line 2: a quote"),
    ("a name twice", "t.csv", b"text,text\na,b\n", "line 1: column 'text' is there twice"),
    ("a blank name", "t.csv", b"text, \na,b\n", "line 1: column 2 has no name"),
    ("semicolons", "t.csv", b"text;label\na;b\n", "semicolons"),
    ("tabs in a .csv", "t.csv", b"text\tlabel\na\tb\n", "name the file .tsv"),
    ("Latin-1", "t.csv", "text,label\na,b\nü,c\n".encode("latin-1"), "line 3: not UTF-8"),
    ("UTF-16", "t.csv", "text,label\na,b\n".encode("utf-16"), "the file is UTF-16"),
    ("a character cut off", "t.csv", "text,label\na,b\nü".encode()[:-1], "line 3: the last character"),
    ("a NUL byte", "t.csv", b"text,label\na,\0\n", "line 2: a NUL byte"),
    ("a broken line", "t.jsonl", b'{"text": "a"}\n{"text": \n', "t.jsonl, line 2: not JSON"),
    ("a line that is a list", "t.jsonl", b'{"text": "a"}\n["b"]\n', "line 2: not an object"),
    ("a list of lists", "t.jsonl", b'{"text": [["a"]]}\n', "line 1: column 'text' holds a list of something else"),
    ("a list with a gap", "t.jsonl", b'{"text": ["a", null]}\n', "line 1: column 'text' holds a list of something"),
    (
        "a list of fractions",
        "t.jsonl",
        b'{"x": [1]}\n{"x": [1, 0.5]}\n',
        "line 2: column 'x' holds a list of something",
    ),
    ("an object", "t.jsonl", b'{"x": {"a": 1}}\n', "line 1: column 'x' holds an object"),
    (
        "a list among texts",
        "t.jsonl",
        b'{"x": "a"}\n{"x": ["a"]}\n',
        "line 2: column 'x' holds a list of texts here and",
    ),
    (
        "an answer without a start",
        "t.jsonl",
        b'{"answers": {"text": ["a"], "answer_start": []}}\n',
        "line 1: column 'answers' holds an object",
    ),
    (
        "an answer that is empty",
        "t.jsonl",
        '{"context": "an oak", "answers": {"text": ["oak", "\u00a0"], "answer_start": [0, 0]}}\n'.encode(),
        "row 1: an empty answer in column 'answers'",
    ),
    (
        "an answer that is not in its context",
        "t.jsonl",
        b'{"context": "an oak", "answers": {"text": ["oak"], "answer_start": [0]}}\n'
        b'{"context": "an oak", "answers": [{"text": "elm", "answer_start": 0}]}\n',
        "row 2: the answer 'elm' in column 'answers' is not in the context",
    ),
    (
        "a word without a tag",
        "t.jsonl",
        b'{"tokens": ["a", "b"], "ner_tags": [0, 1]}\n{"tokens": ["a", "b"], "ner_tags": [0]}\n',
        "row 2: 2 values in column 'tokens' and 1 in 'ner_tags'",
    ),
    ("a NUL in a list", "t.jsonl", b'{"x": ["a"]}\n{"x": ["a", "\\u0000"]}\n', "line 2: a NUL character"),
    ("text among numbers", "t.jsonl", b'{"label": 1}\n{"label": "1"}\n', "line 2: column 'label' holds text"),
    ("a number among truths", "t.jsonl", b'{"label": true}\n{"label": 1}\n', "line 2: column 'label' holds a number"),
    ("NaN", "t.jsonl", b'{"label": NaN}\n', "line 1: NaN"),
    ("an integer too large", "t.jsonl", b'{"label": 99999999999999999999}\n', "64 bits"),
    ("half a character", "t.jsonl", b'{"text": "\\ud800"}\n', "line 1: a NUL character or half"),
    ("deep nesting", "t.jsonl", b"[" * 100_000, "nested too deeply"),
    (
        "a field of its own in every line",
        "t.jsonl",
        b"".join(b'{"c%d": 1}\n' % line for line in range(300)),
        "line 257: more than 256 different fields",
    ),
    (
        "an answer beyond measure",
        "t.json",
        b'{"data": [{"paragraphs": [{"context": "ab", "qas": [{"id": "1", "question": "q", "answers": '
        b'[{"text": "", "answer_start": 1000000000000000000000000}]}]}]}]}',
        "its answer is not at answer_start",
    ),
    ("no fields", "t.jsonl", b"{}\n", "no columns"),
    ("no Parquet", "t.parquet", b"text,label\na,b\n", "not a readable Parquet file"),
    ("JSON that is not SQuAD", "t.json", b'[{"text": "a"}]', "should be a valid dictionary. A .json file must"),
    ("broken JSON", "t.json", b'{"data":\n', "line 2: not JSON"),
    ("an unknown format", "t.xlsx", b"PK", "no known format"),
    ("no format", "train", b"text,label\na,b\n", "no known format"),
]


@pytest.mark.parametrize("case", MALFORMED, ids=[case[0] for case in MALFORMED])
def test_a_malformed_file_is_refused_with_its_place_and_nothing_is_stored(
    api: Api, case: tuple[str, str, bytes, str]
) -> None:
    _, filename, raw, words = case
    before = api.stored()
    answer = api.upload_dataset(train=(filename, raw))
    assert answer.status_code == 422, answer.text
    assert words in detail(answer, "/train"), answer.text
    assert api.stored() == before


def test_every_bad_file_is_named_in_one_answer(api: Api) -> None:
    answer = api.upload_dataset(train=("a.csv", b"text,label\nx\n"), dev=("b.csv", b""), test=("c.csv", sentences(2)))
    assert pointers(answer) == {"/train", "/dev"}


def parquet_of(column: pa.Array) -> bytes:
    """A Parquet file of one column."""
    file = io.BytesIO()
    pq.write_table(pa.table({"x": column}), file)
    return file.getvalue()


def test_parquet_is_taken_with_plain_columns_only(api: Api) -> None:
    plain = pa.array(["a", "b", "a"]).dictionary_encode()
    assert api.upload_dataset(train=("t.parquet", parquet_of(plain))).json()["columns"][0]["type"] == "string"
    for column in (pa.array([[1.5], [2]]), pa.array([[["a"]]]), pa.array([b"x"]), pa.array([{"a": 1}])):
        answer = api.upload_dataset(train=("t.parquet", parquet_of(column)))
        assert "column 'x' is of type" in detail(answer, "/train")
    no_rows = api.upload_dataset(train=("t.parquet", parquet_of(pa.array([], pa.string()))))
    assert "no rows" in detail(no_rows, "/train")
    nul = api.upload_dataset(train=("t.parquet", parquet_of(pa.array(["a", "b\0"]))))
    assert "row 2: a NUL character in column 'x'" in detail(nul, "/train")
    nul_within = api.upload_dataset(train=("t.parquet", parquet_of(pa.array([["a"], ["b", "c\0"]]))))
    assert "row 2: a NUL character in column 'x'" in detail(nul_within, "/train")
    gap = api.upload_dataset(train=("t.parquet", parquet_of(pa.array([["a"], [], ["b", None]]))))
    assert "row 3: column 'x' holds a list with a null" in detail(gap, "/train")


def test_parquet_that_grows_beyond_measure_is_refused(api: Api) -> None:
    bomb = parquet_of(pa.array(["x" * 1_000_000] * 20))  # 20 MB from a few kB; the limit is 4 × 2 MB
    assert len(bomb) < 2_000_000
    assert "grows beyond" in detail(api.upload_dataset(train=("t.parquet", bomb)), "/train")


def test_a_text_that_parquet_holds_once_counts_as_often_as_it_occurs(api: Api) -> None:
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 16_000, pa.int32()), pa.array(["x" * 1_000_000]))
    file = io.BytesIO()
    pq.write_table(pa.table({"x": once}), file, store_schema=False)  # nothing in it says that it was a dictionary
    assert len(file.getvalue()) < 2_000_000
    assert "grows beyond" in detail(api.upload_dataset(train=("t.parquet", file.getvalue())), "/train")


def test_a_context_that_squad_holds_once_counts_as_often_as_it_is_asked_about(api: Api) -> None:
    questions = [{"id": str(number), "question": "What?"} for number in range(5000)]
    document = {"data": [{"paragraphs": [{"context": "x" * 1_000_000, "qas": questions}]}]}
    assert "grows beyond" in detail(api.upload_dataset(train=("t.json", json.dumps(document).encode())), "/train")


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_parquet_file_is_refused_or_read(api: Api, seed: int) -> None:
    raw = bytearray(parquet_of(pa.array(["good", "bad"] * 50)))
    chance = random.Random(seed)
    for _ in range(8):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    assert api.upload_dataset(train=("t.parquet", bytes(raw))).status_code in {201, 422}


def test_splits_must_agree(api: Api) -> None:
    lacks = api.upload_dataset(train=("a.csv", sentences(4)), test=("b.csv", b"text,title\na,b\n"))
    assert "lacks 'label' and adds 'title'" in detail(lacks, "/test")
    formats = api.upload_dataset(train=("a.csv", sentences(4)), test=("b.jsonl", b'{"text": "a", "label": "b"}'))
    assert "one format" in detail(formats, "")
    types = api.upload_dataset(train=("a.jsonl", b'{"label": 1}'), test=("b.jsonl", b'{"label": "1"}'))
    assert "int64 in 'train', string in 'test'" in detail(types, "/test")
    order = api.upload_dataset(train=("a.csv", sentences(4)), test=("b.csv", b"label,text\nx,y\n"))
    assert stored_table(api, order.json()["id"], "test").to_pylist() == [{"text": "y", "label": "x"}]


def test_the_form_itself_is_checked(api: Api) -> None:
    before = api.stored()
    good = ("train", ("a.csv", sentences(4)))

    def post(data: dict[str, str], *files: tuple[str, tuple[str, bytes]]) -> set[str]:
        # a form without a file would not be multipart
        answer = api.call("POST", "/v1/datasets", data=data, files=list(files) or [("x", ("", b""))])
        assert answer.status_code == 422, answer.text
        return pointers(answer)

    assert post({}, good) == {"/name"}
    assert post({"name": "x" * 201}, good) == {"/name"}
    assert post({"name": " "}, good) == {"/name"}
    assert post({"name": "a\0b"}, good) == {"/name"}
    assert post({"name": "n", "train": "text,label"}, good) == {"/train"}
    assert post({"name": "n"}, good, good) == {"/train"}
    assert post({"name": "n"}, ("no spaces", ("a.csv", sentences(4)))) == {"/no spaces"}
    assert post({"name": "n"}, ("../x", ("a.csv", sentences(4)))) == {"/..~1x"}
    no_files = api.call("POST", "/v1/datasets", content=b"name=x", headers={"Content-Type": "text/plain"})
    assert no_files.status_code == 415
    assert api.stored() == before


def test_a_form_that_breaks_off_is_refused_rather_than_stored_in_part(api: Api) -> None:
    before = api.stored()
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = part % (b"name", b"", b"n") + part % (b"train", b'; filename="a.csv"', sentences(4)) + b"--b\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.call("POST", "/v1/datasets", content=body, headers=headers)
    assert (answer.status_code, "breaks off" in answer.json()["detail"]) == (400, True)
    assert api.call("POST", "/v1/datasets", content=b"nonsense", headers=headers).status_code == 400
    assert api.stored() == before
    assert api.call("POST", "/v1/datasets", content=body[:-5] + b"--b--\r\n", headers=headers).status_code == 201


def test_an_upload_over_the_limit_is_a_413(api: Api) -> None:
    before = api.stored()
    over = api.upload_dataset(train=("a.csv", b"text,label\n" + b"x" * 2_000_000))
    assert over.status_code == 413
    far_over = api.upload_dataset(train=("a.csv", b"text,label\n" + b"x" * 4_000_000))
    assert far_over.status_code == 413
    assert "SECATEUR_MAX_DATASET_BYTES" in far_over.json()["detail"]
    assert api.stored() == before


#: Words with tags, and an answer in both layouts, as rows of JSON.
TAGGED: list[dict[str, object]] = [
    {"tokens": ["Ada", "left"], "tags": ["B-PER", "O"], "ner_tags": [1, 0]},
    {"tokens": ["so"], "tags": ["O"]},
]
OAK = {"text": ["oak", "an oak"], "answer_start": [3, 0]}


def as_parquet(rows: list[dict[str, object]]) -> bytes:
    """Rows as other programs write them: large lists, indices into a dictionary, small integers."""
    table = pa.Table.from_pylist(rows)
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_list(kind):
            inner = pa.int8() if pa.types.is_integer(kind.value_type) else kind.value_type
            kind = pa.large_list(inner)
        fields.append(pa.field(field.name, kind))
    file = io.BytesIO()
    pq.write_table(table.cast(pa.schema(fields)), file, row_group_size=1)
    return file.getvalue()


@pytest.mark.parametrize("filename", ["t.jsonl", "t.parquet"])
def test_words_with_tags_are_taken_and_described(api: Api, filename: str) -> None:
    raw = as_parquet(TAGGED) if filename.endswith("parquet") else "\n".join(map(json.dumps, TAGGED)).encode()
    view = api.upload_dataset(train=(filename, raw)).json()
    types = {column["name"]: column["type"] for column in view["columns"]}
    assert types == {"tokens": "list<string>", "tags": "list<string>", "ner_tags": "list<int64>"}
    described = {column["name"]: (column["nulls"]["train"], column["distinct"]["train"]) for column in view["columns"]}
    assert described == {"tokens": (0, 3), "tags": (0, 2), "ner_tags": (1, 2)}
    assert view["labels"]["tags"] == [{"value": "B-PER", "rows": 1}, {"value": "O", "rows": 2}]
    assert stored_table(api, view["id"], "train").to_pylist()[0] == TAGGED[0]
    assert view["preview"][0]["tokens"] == ["Ada", "left"]


@pytest.mark.parametrize("layout", ["together", "apart"])
@pytest.mark.parametrize("filename", ["t.jsonl", "t.parquet"])
def test_answers_in_either_layout_become_those_of_squad(api: Api, filename: str, layout: str) -> None:
    apart = [{"text": text, "answer_start": start} for text, start in zip(*OAK.values(), strict=True)]
    answers = OAK if layout == "together" else apart
    rows: list[dict[str, object]] = [
        {"question": "?", "context": "an oak", "answers": given} for given in (answers, None)
    ]
    raw = as_parquet(rows) if filename.endswith("parquet") else "\n".join(map(json.dumps, rows)).encode()
    view = api.upload_dataset(train=(filename, raw)).json()
    assert [column["type"] for column in view["columns"]] == ["string", "string", "answers"]
    assert view["columns"][2]["nulls"] == {"train": 1}
    assert stored_table(api, view["id"], "train")["answers"].to_pylist()[0] == OAK


def test_a_question_without_an_answer_is_a_row_without_a_value(api: Api) -> None:
    document = {"data": [{"paragraphs": [{"context": "oak", "qas": [{"id": "1", "question": "?", "answers": []}]}]}]}
    view = api.upload_dataset(train=("train.json", json.dumps(document).encode())).json()
    assert next(column for column in view["columns"] if column["name"] == "answers")["nulls"] == {"train": 1}


def test_numbers_that_are_not_finite_are_rows_without_a_value(api: Api) -> None:
    numbers = pa.array([1.5, float("nan"), None, float("inf")])
    view = api.upload_dataset(train=("t.parquet", parquet_of(numbers))).json()
    assert view["columns"][0]["nulls"] == {"train": 3}


def test_a_column_without_values_takes_the_type_it_has_in_another_split(api: Api) -> None:
    answer = api.upload_dataset(
        train=("a.jsonl", json.dumps(TAGGED[0]).encode()),
        test=("b.jsonl", b'{"tokens": [], "tags": null, "ner_tags": []}'),
    )
    assert answer.status_code == 201, answer.text
    assert stored_table(api, answer.json()["id"], "test").schema.types[2] == pa.list_(pa.int64())


def test_texts_in_lists_count_as_often_as_they_occur(api: Api) -> None:
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 16_000, pa.int32()), pa.array(["x" * 1_000_000]))
    bomb = parquet_of(pa.ListArray.from_arrays(pa.array(range(16_001), pa.int32()), once))
    assert len(bomb) < 2_000_000
    assert "grows beyond" in detail(api.upload_dataset(train=("t.parquet", bomb)), "/train")


def test_a_long_list_is_cut_in_the_preview(api: Api) -> None:
    row = {"tokens": ["x" * 500] * 200}
    preview = api.upload_dataset(train=("t.jsonl", json.dumps(row).encode())).json()["preview"]
    assert len(preview[0]["tokens"]) == 51
    assert len(preview[0]["tokens"][0]) == 300
