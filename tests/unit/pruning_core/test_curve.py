"""How often a run is evaluated on its way."""

from types import SimpleNamespace

import pytest

from pruning_core.training import evaluations_of
from tests.unit.pruning_core.runs import short_spec


@pytest.mark.parametrize(
    ("steps", "batch_size", "judged", "times"),
    [
        (940, 32, 1500, 6),  # 90,240 passes of learning against 9,000 of judging
        (80, 32, 1500, 1),
        (10_000, 32, 2000, 20),  # no more than 20
        (10_000, 32, 10**6, 20),  # of which no more than 2,000 are judged
        (3, 16, 1, 3),  # no more than there are steps
        (24, 8, 40, 1),
    ],
)
def test_evaluations_take_a_tenth_of_the_training_and_the_last_step_always_has_one(
    steps: int, batch_size: int, judged: int, times: int
) -> None:
    spec = short_spec("magnitude", training={"max_steps": steps, "batch_size": batch_size})
    material = SimpleNamespace(spec=spec, train=range(96), evaluation=range(judged))
    assert evaluations_of(material) == times  # type: ignore[arg-type]  # all that is looked at
