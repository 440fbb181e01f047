"""A few seconds of `make abuse`: the same attacks on the same service, those that need no patience."""

from collections.abc import Iterator

import pytest

from tests.abuse.attack import Attack, carry_out
from tests.abuse.attacks import ATTACKS
from tests.abuse.victim import Victim, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A service that nobody has abused yet."""
    with serve(tmp_path_factory.mktemp("abuse")) as victim:
        yield victim


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.few], ids=lambda attack: attack.name)
def test_what_nobody_should_send_is_answered_and_nothing_is_lost(victim: Victim, attack: Attack) -> None:
    outcome = carry_out(attack, victim, attack.few)
    assert outcome.withstood, outcome.row
    assert victim.lost() == []
