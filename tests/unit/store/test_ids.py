"""Ids say what they name and sort by when they were made."""

import re

from store.ids import new_id


def test_an_id_is_a_prefix_and_a_uuid7() -> None:
    assert re.fullmatch(r"job_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", new_id("job"))


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [new_id("job") for _ in range(1000)]
    assert ids == sorted(set(ids))
