"""The density schedule, against the paper's formula."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.schedule import MIN_WINDOW_STEPS, Schedule, ScheduleError, Shape

SHAPES: list[Shape] = ["cubic", "linear", "one_shot"]


def test_cubic_follows_zhu_and_gupta_at_every_step() -> None:
    schedule = Schedule.from_shares("cubic", total_steps=1000, warmup=0.1, cooldown=0.3, final_density=0.03)
    t_i, t_f, total, v_f = 100, 300, 1000, 0.03
    for t in range(total + 1):
        if t < t_i:
            expected = 1.0
        elif t < total - t_f:
            expected = v_f + (1 - v_f) * (1 - (t - t_i) / (total - t_f - t_i)) ** 3
        else:
            expected = v_f
        assert schedule.density(t) == pytest.approx(expected, abs=1e-12)


def test_linear_is_half_way_in_the_middle_of_the_window() -> None:
    schedule = Schedule.from_shares("linear", total_steps=100, warmup=0.1, cooldown=0.3, final_density=0.2)
    assert schedule.density(40) == pytest.approx(0.6)


def test_one_shot_cuts_everything_at_the_end_of_the_warm_up() -> None:
    schedule = Schedule.from_shares("one_shot", total_steps=10, warmup=0.5, cooldown=0.3, final_density=0.1)
    assert [schedule.density(step) for step in (0, 4, 5, 10)] == [1.0, 1.0, 0.1, 0.1]


@pytest.mark.parametrize("total_steps", [60, 1000, 100_000])
def test_every_point_scales_with_the_run(total_steps: int) -> None:
    schedule = Schedule.from_shares("cubic", total_steps=total_steps, warmup=0.1, cooldown=0.3, final_density=0.1)
    assert schedule.warmup_steps == round(0.1 * total_steps)
    assert schedule.density(total_steps - schedule.cooldown_steps) == 0.1


@pytest.mark.parametrize(
    ("total_steps", "warmup", "cooldown"), [(MIN_WINDOW_STEPS - 1, 0.0, 0.0), (100, 0.5, 0.5), (1000, 0.9, 0.2)]
)
def test_a_run_without_a_pruning_window_is_refused(total_steps: int, warmup: float, cooldown: float) -> None:
    with pytest.raises(ScheduleError, match="pruning window"):
        Schedule.from_shares("cubic", total_steps=total_steps, warmup=warmup, cooldown=cooldown, final_density=0.1)


@given(
    shape=st.sampled_from(SHAPES),
    total_steps=st.integers(1, 5000),
    warmup=st.floats(0, 0.99),
    cooldown=st.floats(0, 0.99),
    final_density=st.floats(0.001, 0.999),
)
def test_density_never_rises_and_ends_at_the_target(
    shape: Shape, total_steps: int, warmup: float, cooldown: float, final_density: float
) -> None:
    try:
        schedule = Schedule.from_shares(
            shape, total_steps=total_steps, warmup=warmup, cooldown=cooldown, final_density=final_density
        )
    except ScheduleError:
        return
    densities = [schedule.density(step) for step in range(total_steps + 1)]
    assert all(before >= after for before, after in pairwise(densities))
    assert densities[-1] == final_density
    assert min(densities) >= final_density
