"""Every supported family is in docs/models.md, with the place of its blocks."""

import pytest

from pruning_core.architectures import ARCHITECTURES, SERVED
from tests.docs.markdown import ROOT

TABLE = {
    family.strip("` "): line
    for line in (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `") and "`model_type`" not in line
    for family in line.split("|")[1].split(",")
}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_family_and_its_blocks_are_documented(model_type: str) -> None:
    blocks = ARCHITECTURES[model_type].block.partition(".{}")[0]
    assert f"| `{blocks}` |" in TABLE[model_type]


def test_nothing_else_is_promised() -> None:
    assert set(TABLE) == set(ARCHITECTURES)
    assert [name for name, line in TABLE.items() if "the library only" in line] == sorted(
        set(ARCHITECTURES) - set(SERVED)
    )
