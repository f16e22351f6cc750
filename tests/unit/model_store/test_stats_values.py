import numpy as np
import pytest

from model_store.core.histogram import Histogram
from model_store.core.stats import NOTHING, Tally, observe_batch
from model_store.core.stats_codec import StatisticsCodecError, decode_statistics
from model_store.core.stats_windows import slots_of_window


def test_a_batch_counts_as_its_records_with_the_mean_time_each() -> None:
    tally = Tally()

    tally.observe(observe_batch(10, 1, 0.001, 5_000))
    tally.observe(observe_batch(1, 0, 0.003, 4_000))

    seen = tally.frozen()
    assert (seen.count, seen.errors, seen.duration_ns) == (11, 1, 4_000_000)
    assert (seen.min_ns, seen.max_ns) == (100_000, 3_000_000)
    assert (seen.first_ms, seen.last_ms) == (4_000, 5_000)
    assert seen.score.total == 11
    assert seen.score.quantile_seconds(0.5) == pytest.approx(1e-4, rel=0.02)
    assert seen.score.quantile_seconds(1.0) == pytest.approx(3e-3, rel=0.02)


def test_latency_is_from_the_timestamps_and_records_without_one_are_left_out() -> None:
    tally = Tally()

    tally.observe(observe_batch(4, 0, 0.001, 10_000, np.array([9_990, -1, 9_000, 10_500])))

    latency = tally.frozen().latency
    assert latency.total == 3
    assert latency.quantile_seconds(0.6) == pytest.approx(0.01, rel=0.02)
    assert latency.quantile_seconds(1.0) == pytest.approx(1.0, rel=0.02)
    assert latency.quantile_seconds(0.1) == 0.0
    assert latency.sum_seconds() == pytest.approx(1.01, rel=0.02)


def test_a_frozen_tally_does_not_change_with_it() -> None:
    tally = Tally()
    before = tally.frozen()

    tally.observe(observe_batch(1, 0, 0.1, 1, np.array([0])))

    assert before == NOTHING


def test_nothing_has_no_percentile() -> None:
    assert Histogram().quantile_seconds(0.99) is None


def test_a_window_that_is_not_kept_is_refused() -> None:
    for seconds in (0, -1, 86_401):
        with pytest.raises(ValueError, match="a window has 1 to 86400 seconds"):
            slots_of_window(seconds, 10**12)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x91\x91\x01", b"\xff" * 10])
def test_what_is_no_statistics_is_refused(data: bytes) -> None:
    with pytest.raises(StatisticsCodecError):
        decode_statistics(data)
