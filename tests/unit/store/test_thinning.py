"""Down-sampled series keep their ends and their order."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from store.progress import MetricPoint, thinned


@given(st.integers(0, 300), st.integers(2, 50))
def test_a_thinned_series_keeps_its_ends_and_its_order(length: int, most: int) -> None:
    points = [MetricPoint(step, float(step), datetime.now(UTC)) for step in range(length)]
    kept = thinned(points, most)
    steps = [point.step for point in kept]
    assert steps == sorted(set(steps))
    assert len(kept) == min(length, most)
    assert kept[:1] + kept[-1:] == points[:1] + points[-1:]
