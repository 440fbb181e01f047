"""JSON that both databases accept, whatever a trainer reports."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from store.documents import JsonValue, as_json, storable

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(documents)
def test_every_document_becomes_strict_json_without_nul(document: JsonValue) -> None:
    text = as_json(document)
    assert json.loads(text) == json.loads(json.dumps(storable(document)))
    assert "\0" not in text
    assert "\\u0000" not in text.replace("\\\\", "")


def test_a_diverged_loss_becomes_null() -> None:
    assert storable({"loss": math.nan, "best": [math.inf, 0.5]}) == {"loss": None, "best": [None, 0.5]}


def test_a_nul_in_a_log_becomes_the_replacement_character() -> None:
    assert storable({"log\0": "a\0b"}) == {"log\ufffd": "a\ufffdb"}
