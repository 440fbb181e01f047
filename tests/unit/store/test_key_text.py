"""Keys as text: what a typo is told by, and what is cut off before a key is shown."""

import string
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ids import new_id
from store.key_text import hide_keys, mint, read

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
TYPED = BASE62 + "_-"


def test_a_key_is_read_as_it_was_made() -> None:
    key_id = new_id("key")
    text, secret = mint(key_id)
    assert text.startswith(f"sec_{key_id.removeprefix('key_')}_{secret}")
    assert read(text) == (key_id, secret)
    assert len({mint(key_id)[1] for _ in range(100)}) == 100


def test_the_checksum_is_the_crc_of_what_stands_before_it() -> None:
    text, _ = mint(new_id("key"))
    number = 0
    for character in text[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(text[:-6].encode())


@given(seed=st.integers(0, 2**32), shift=st.integers(1, len(TYPED) - 1), data=st.data())
def test_no_typo_passes(seed: int, shift: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secrets.choice", Random(seed).choice)  # hypothesis has to meet the same key again
        text, _ = mint(f"key_{seed:032x}")
    place = data.draw(st.integers(0, len(text) - 1))
    wrong = TYPED[(TYPED.index(text[place]) + shift) % len(TYPED)]
    assert read(text[:place] + wrong + text[place + 1 :]) is None


@pytest.mark.parametrize("length", range(75, 86))
def test_what_was_not_copied_whole_is_no_key_of_today(length: int) -> None:
    text, _ = mint(new_id("key"))
    assert read(text[:length]) is None or length == len("sec_") + 32 + 1 + 43, (
        "so long were keys before they had a checksum"
    )


def test_a_hidden_key_still_says_which_it_was() -> None:
    text, secret = mint(f"key_{'0' * 31}7")
    hidden = hide_keys(f"GET /v1/keys/{text}?x={text}")
    assert secret not in hidden
    assert hidden == f"GET /v1/keys/sec_{'0' * 31}7_…?x=sec_{'0' * 31}7_…"
