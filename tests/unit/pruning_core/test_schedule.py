"""The density schedule, against the paper's formula at every step."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.methods.rewind import Rewind, RewindParameters
from pruning_core.schedule import MIN_WINDOW_STEPS, Schedule, ScheduleError, Shape
from tests.unit.pruning_core.runs import short_spec

SHAPES: list[Shape] = ["cubic", "linear", "one_shot"]


def formula(shape: Shape, t: int, steps: tuple[int, int, int], v_f: float) -> float:
    """v(t) as the paper writes it, with v_i = 1 and (T, t_i, t_f) the steps."""
    total, t_i, t_f = steps
    if t < t_i:
        return 1.0
    if shape == "one_shot" or t >= total - t_f:
        return v_f
    power = {"cubic": 3, "linear": 1}[shape]
    return v_f + (1 - v_f) * (1 - (t - t_i) / (total - t_f - t_i)) ** power


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("total", [60, 1000, 5421])
@pytest.mark.parametrize(("warmup", "cooldown"), [(0.1, 0.3), (0.0, 0.3), (0.2, 0.0), (0.0, 0.0), (0.45, 0.35)])
@pytest.mark.parametrize("final", [0.5, 0.03, 0.001])
def test_density_follows_the_formula_at_every_step(
    shape: Shape, total: int, warmup: float, cooldown: float, final: float
) -> None:
    schedule = Schedule.from_shares(shape, total_steps=total, warmup=warmup, cooldown=cooldown, final_density=final)
    t_i, t_f = round(warmup * total), round(cooldown * total)
    for t in range(total + 1):
        expected = formula(shape, t, (total, t_i, t_f), final) if t < total else final
        assert schedule.density(t) == pytest.approx(expected, abs=1e-12)


def test_a_run_of_sixty_steps_is_dense_for_six_prunes_for_eighteen_and_settles_for_thirty_six() -> None:
    spec = short_spec(training={"max_steps": 60})
    schedule = spec.schedule(96)
    assert (schedule.total_steps, schedule.warmup_steps, schedule.cooldown_steps) == (60, 6, 36)
    densities = [schedule.density(step) for step in range(61)]
    assert [density == 1.0 for density in densities].index(False) == 7  # at step 6 the window opens, at v_i
    assert densities.index(0.1) == 24


def test_one_shot_cuts_everything_at_the_end_of_the_warm_up() -> None:
    schedule = Schedule.from_shares("one_shot", total_steps=10, warmup=0.5, cooldown=0.3, final_density=0.1)
    assert [schedule.density(step) for step in (0, 4, 5, 10)] == [1.0, 1.0, 0.1, 0.1]


@pytest.mark.parametrize(("warmup", "cooldown"), [(0.0, 0.0), (0.99, 0.99), (0.1, 0.3)])
def test_one_shot_without_a_step_cuts_at_once(warmup: float, cooldown: float) -> None:
    schedule = Schedule.from_shares("one_shot", total_steps=0, warmup=warmup, cooldown=cooldown, final_density=0.1)
    assert schedule.density(0) == 0.1


@pytest.mark.parametrize(
    ("total_steps", "warmup", "cooldown"), [(MIN_WINDOW_STEPS - 1, 0.0, 0.0), (100, 0.5, 0.5), (1000, 0.9, 0.2)]
)
@pytest.mark.parametrize("shape", ["cubic", "linear"])
def test_a_run_without_a_pruning_window_is_refused(
    shape: Shape, total_steps: int, warmup: float, cooldown: float
) -> None:
    with pytest.raises(ScheduleError, match="pruning window"):
        Schedule.from_shares(shape, total_steps=total_steps, warmup=warmup, cooldown=cooldown, final_density=0.1)


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


# --- rounds of rewinding -------------------------------------------------------------------------------------------


def rounds(total: int, count: int, final: float = 0.1) -> Schedule:
    plain = Schedule.from_shares("cubic", total_steps=total, warmup=0.1, cooldown=0.3, final_density=final)
    return Rewind(RewindParameters(rounds=count)).plan(plain)


@pytest.mark.parametrize("count", [1, 3, 7])
@pytest.mark.parametrize("total", [60, 1001])
def test_rounds_keep_the_same_share_of_what_is_left_each_time(total: int, count: int) -> None:
    schedule = rounds(total, count, final=0.05)
    for step in range(total + 1):
        done = sum(1 for r in range(1, count + 1) if step >= round(total * r / (count + 1)))
        assert schedule.density(step) == pytest.approx(0.05 ** (done / count))
    assert schedule.density(total) == 0.05


@pytest.mark.parametrize(("method", "may"), [("movement", True), ("soft_movement", False), ("l0", False)])
def test_what_is_advised_is_what_the_method_takes(method: str, may: bool) -> None:
    spec = short_spec(method=method, training={"max_steps": 12})
    with pytest.raises(ScheduleError, match="pruning window") as refused:
        spec.schedule(100)
    assert ("one_shot" in str(refused.value)) is may


def test_rewind_has_no_window_that_a_run_could_be_too_short_for() -> None:
    spec = short_spec(method="rewind", training={"max_steps": 12})
    with pytest.raises(ScheduleError, match=r"lower pruning\.params\.rounds") as refused:
        spec.schedule(100)
    assert "pruning.schedule" not in str(refused.value)


def test_a_single_round_cannot_be_told_to_be_fewer() -> None:
    with pytest.raises(ScheduleError, match=r"1 round leaves parts of 4 steps in a run of 8.*Train longer\.$"):
        Rewind(RewindParameters(rounds=1)).plan(Schedule("cubic", 8, 0, 0, 0.1))


def test_rounds_too_short_to_train_in_are_refused_with_the_remedy() -> None:
    with pytest.raises(ScheduleError, match=r"parts of 4 steps.*lower pruning\.params\.rounds"):
        rounds(60, 12)
