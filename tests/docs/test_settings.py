"""Every setting is documented with its default, and nothing else is."""

import os

from store.settings import Settings
from tests.docs.markdown import ROOT, read

PAGE = read(ROOT / "docs" / "settings.md")
PREFIX = "SECATEUR_"
CLIENT_VARIABLES = {"SECATEUR_URL", "SECATEUR_KEY", "SECATEUR_DATA_DIR"}
DEPENDS_ON_THE_MACHINE = {"SECATEUR_SCRATCH_DIR", "SECATEUR_WORKER_NAME"}


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    documented = {row[0] for row in PAGE.rows()}
    assert documented == {PREFIX + name.upper() for name in Settings.model_fields} | CLIENT_VARIABLES


def test_documented_defaults_are_the_real_ones() -> None:
    assert not [name for name in os.environ if name.startswith(PREFIX)], "Unset SECATEUR_* to run this test."
    real = {
        PREFIX + name.upper(): "unset" if value is None else str(value).removesuffix(".0")
        for name, value in Settings().model_dump().items()
    }
    documented = {row[0]: row[1].split("`")[1] if "`" in row[1] else row[1] for row in PAGE.rows() if len(row) == 3}
    fixed = real.keys() - DEPENDS_ON_THE_MACHINE
    assert {name: documented.get(name) for name in fixed} == {name: real[name] for name in fixed}


def test_every_setting_describes_itself() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
